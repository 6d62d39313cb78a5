"""The run folder of any kind of study: whole or not there, with results, recipe, machine and where all came from."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from w2s_pref.core.errors import W2SError, disk_sentence
from w2s_pref.core.json_io import read_json
from w2s_pref.core.yaml_io import load_yaml
from w2s_pref.core.yaml_values import dumped
from w2s_pref.engine.identity import Identity, alive, myself
from w2s_pref.engine.stage import Builder
from w2s_pref.models.info import ModelFacts
from w2s_pref.parallel.world import World, environment
from w2s_pref.report.registry import check as check_sections
from w2s_pref.results.trainings import ModelInfo, Provenance
from w2s_pref.studies.kind import AnyOpened

#: Seconds without a change after which a half-written run folder of another machine is nobody's.
ABANDONED = 86_400.0


def check_places(opened: AnyOpened) -> None:
    """Refuse places where a run folder would take the place of something else, before anything is built.

    Raises:
        W2SError: output or store is a file, the run folder would hold the store, or what stands there is no run.
    """
    check_sections(opened.recipe.report.sections, opened.base)
    folder, store = opened.folder, opened.store.root
    for key, path in (("output", folder.parent), ("store", store)):
        for part in (path, *path.parents):
            if part.exists() and not part.is_dir():
                raise W2SError(f"{key}: {part} is a file, not a folder; give another: {key}=FOLDER")
    if store.resolve().is_relative_to(folder.resolve()) or folder.resolve().is_relative_to(store.resolve()):
        raise W2SError(f"name: the run folder {folder} would stand in the place of the store {store}; choose another")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "results.json").is_file():
        raise W2SError(f"output: {folder} is there and is not a run folder; give another name or output=FOLDER")
    if folder.exists() and not folder.is_dir():
        raise W2SError(f"output: {folder} is a file, not a run folder; give another name or output=FOLDER")


#: Keys of a recipe that say where and how it runs, not what.
_WHERE = ("output", "store", "processes")


def replaced(opened: AnyOpened) -> str | None:
    """A sentence where the run folder holds another run than the recipe's, which a run would put away; else None.

    Another is one of another recipe, and one of the same recipe whose stages had other keys: its data, models or code
    were edited since.
    """
    file = opened.folder / "recipe.yaml"
    if not (file.is_file() and (opened.folder / "results.json").is_file()):  # no run, or nothing to say what it was
        return None
    keep = "a run replaces it at its end: to keep it, give another name or output"
    try:
        before = load_yaml(file)
        before.pop("kind", None)
        old = dict(_leaves(type(opened.recipe).model_validate(before).model_dump(mode="json")))
    except (W2SError, ValueError):  # of another version, or edited
        return f"{opened.folder} holds a run of a recipe that this version cannot read; a run replaces it at its end"
    new = dict(_leaves(opened.recipe.model_dump(mode="json")))
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key) and key.split(".")[0] not in _WHERE]
    if differing:
        more = f" and {len(differing) - 3:,} more" if len(differing) > 3 else ""
        return f"{opened.folder} holds the run of another recipe (other {', '.join(differing[:3])}{more}); {keep}"
    if _known(opened) and not _keys(opened.folder) <= {stage.key for stage in opened.stages}:
        return (
            f"{opened.folder} holds a run of the same recipe on other data, models or code, or of another version of "
            f"this package; {keep}"
        )
    return None


def _known(opened: AnyOpened) -> bool:
    """Whether the keys are those of a run: nothing stands in for data or models that cannot be reached from here."""
    here = all(facts.folder is not None for facts in opened.study.models.values())
    return here and "unreachable" not in opened.prepared.hashes.values()


def _keys(folder: Path) -> set[str]:
    """Keys of the stages that a run's results.json names; none where it cannot be read or its kind names none."""
    try:
        found = read_json(folder / "results.json", f"run {folder}")
        return {str(key) for key in found["provenance"]["stages"].values()}
    except (OSError, W2SError, KeyError, TypeError, AttributeError):
        return set()


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key → value, for everything in nested mappings."""
    if not isinstance(value, Mapping):
        yield key, value
        return
    for name, each in value.items():
        yield from _leaves(each, f"{key}.{name}" if key else str(name))


@contextlib.contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder beside ``folder``, put in its place at the end, so that no reader meets half a run.

    Its name says whose it is. What runs that were killed left beside it is removed. Where ``folder`` is a link, all
    this happens where it leads to: a folder cannot be renamed over a link.
    """
    folder = folder.resolve()
    fresh = folder.with_name(f".{folder.name}-{myself().tag}")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        _sweep(folder, fresh.stat().st_mtime)
        yield fresh
        _swap(fresh, folder)
    except OSError as error:
        raise disk_sentence(error, "output", folder) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _sweep(folder: Path, now: float) -> None:
    """Remove half-written folders of runs of this name whose process is gone.

    Of another machine, or from before this one started anew, it is gone where nothing was written for a day.

    Args:
        now: time of a change that the same file system made just now: no clocks of two machines are compared.
    """
    for path in folder.parent.glob(".*"):
        process = Identity.of_name(path.name)
        if process is None or path.name.removesuffix(f"-{process.tag}") not in _hidden_names(folder):
            continue
        lives = alive(process)
        if lives is False or (lives is None and now - _last_change(path) > ABANDONED):
            shutil.rmtree(path, ignore_errors=True)


def _last_change(folder: Path) -> float:
    return max((path.lstat().st_mtime for path in (folder, *folder.rglob("*"))), default=0.0)


def _hidden_names(folder: Path) -> tuple[str, str]:
    """Of a run being written, and of the one before it, moved aside for a moment."""
    return f".{folder.name}", f".{folder.name}.old"


def _swap(fresh: Path, folder: Path) -> None:
    """Put ``fresh`` in the place of ``folder``; another run of the same recipe may be doing the same."""
    old = folder.with_name(f"{_hidden_names(folder)[1]}-{myself().tag}")
    while True:
        try:
            fresh.rename(folder)
            return
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        with contextlib.suppress(FileNotFoundError):
            folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)


def write_facts(opened: AnyOpened, world: World, results: BaseModel, folder: Path) -> None:
    """What every run folder holds: results, the recipe as it was read, the machine."""
    named = {"kind": opened.named} if opened.named else {}
    recipe = {**named, **opened.recipe.model_dump(mode="json")}
    texts = {
        "recipe.yaml": dumped(recipe),
        "environment.json": json.dumps(environment(world), indent=1),
        "results.json": _written(results),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


#: Characters from which on results.json is written without indentation, which is two fifths of it.
LARGE = 4_000_000


def _written(results: BaseModel) -> str:
    text = results.model_dump_json(indent=1)
    return text if len(text) < LARGE else results.model_dump_json()


def provenance(opened: AnyOpened, builder: Builder, command: str, stages: Mapping[str, str]) -> Provenance:
    """How this run came about, and the keys of the stages to name. Times: of building all of it, whenever that was.

    Args:
        stages: name → key.
    """
    here = environment(builder.world)
    metas = [builder.meta(stage) for stage in opened.stages]
    processor = [meta.get("processor_seconds") for meta in metas]
    measured = [float(seconds) for seconds in processor if seconds is not None]
    return Provenance(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(sum(float(meta["seconds"]) for meta in metas), 2),
        processor_seconds=round(sum(measured), 2) if len(measured) == len(metas) else None,
        world_size=here["world_size"],
        versions=here["versions"],
        machine=here["machine"],
        stages=dict(stages),
    )


def model_infos(models: Mapping[str, ModelFacts]) -> dict[str, ModelInfo]:
    """The recipe's models as results name them."""
    return {
        name: ModelInfo(
            path=facts.spec.path,
            parameters=facts.parameters,
            hash=facts.hash,
            revision=facts.revision,
            precision=facts.precision,
        )
        for name, facts in models.items()
    }
