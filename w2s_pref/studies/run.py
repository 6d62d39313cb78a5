"""Run a recipe of any kind of study: open it, build what the store lacks, write the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from w2s_pref.core.errors import StageMissing, W2SError, masked
from w2s_pref.core.user_files import keyed_texts
from w2s_pref.core.yaml_io import load_yaml, with_overrides
from w2s_pref.data.control import text_stays_text
from w2s_pref.engine.loop import Display, Loop
from w2s_pref.engine.remote import open_store
from w2s_pref.engine.stage import Builder
from w2s_pref.models import quantized
from w2s_pref.parallel.world import TIMEOUT_S, World
from w2s_pref.studies.folder import check_places, fresh_folder, write_facts
from w2s_pref.studies.kind import AnyOpened, Opened, Study, kind_of_recipe, lasting
from w2s_pref.studies.recipe import read_recipe
from w2s_pref.studies.shipped import find_recipe
from w2s_pref.training.precision import resolved

#: A file or the name of a shipped recipe, or the recipe's keys themselves, whose files are those of the working folder.
Given = Path | Mapping[str, Any]


def run(
    given: Given, overrides: list[str], display: Display, command: str, opened: AnyOpened | None = None
) -> tuple[BaseModel, Path]:
    """Run everything that is missing and write the run folder. Every process of the launch calls this.

    Args:
        command: what the user typed, for the provenance.
        opened: the same recipe, where it was opened before.

    Returns:
        The results and the run folder.
    """
    opened, builder = build(given, overrides, display, opened)
    results = _written(opened, builder, command)
    if results is None:  # something that no stage had read was damaged; it is set aside now, and built again
        _loop(opened, builder, display)
        results = _written(opened, builder, command, retried=True)
        assert results is not None
    return results, opened.folder


def _written(opened: AnyOpened, builder: Builder, command: str, retried: bool = False) -> BaseModel | None:
    """What the main process wrote, in every process; None where a stage that the run folder needs is missing."""

    def write() -> BaseModel | None:
        try:
            return write_run(opened, builder, command)
        except StageMissing:
            if retried:
                raise
            return None

    return builder.world.broadcast(builder.world.on_main(write))


def build(
    given: Given, overrides: list[str], display: Display, opened: AnyOpened | None = None
) -> tuple[AnyOpened, Builder]:
    """Build every stage that is missing, and write no run folder."""
    world = World()
    # First everything that can be refused: the recipe and its data, the launch, models out of reach, places.
    opened = opened or open_recipe(given, overrides)
    world.expect(opened.recipe.processes)
    _refuse_unreachable(opened.study)
    check_places(opened)
    for stage in opened.stages:
        stage.check(world.size)
    # From here on processes wait for each other, and the store changes.
    training = dict(opened.recipe).get("training", {})  # where the kind has trainings
    world.form(float(training.get("ddp_timeout", TIMEOUT_S)))
    if world.main:
        opened.store.sweep()
    builder = Builder(opened.store, world, opened.base, display.step, display.signal)
    _loop(opened, builder, display)
    return opened, builder


def _loop(opened: AnyOpened, builder: Builder, display: Display) -> None:
    """Build what is missing, every text tokenised as the study says, by the code that the keys hold."""
    stays = getattr(opened.study, "text_stays_text", False)  # kinds whose data are the user's say so
    with text_stays_text(stays), keyed_texts(opened.code, built=True):
        Loop(opened.stages, builder, display).run()


def open_recipe(given: Given, overrides: list[str], planning: bool = False) -> AnyOpened:
    """Read recipe and data and build the graph; loads no weights.

    Args:
        planning: data that cannot be reached from here may be stood in for.

    Raises:
        W2SError: every configuration and data error found.
    """
    path = find_recipe(given) if isinstance(given, Path) else Path("recipe")
    raw, notes = resolved(with_overrides(load_yaml(path) if isinstance(given, Path) else dict(given), overrides))
    base = path.resolve().parent
    kind = kind_of_recipe(raw, base)
    named = lasting(str(raw.pop("kind")), base) if "kind" in raw else ""
    recipe = read_recipe(kind.recipe, raw, path)
    code: dict[Path, str] = {}
    with keyed_texts(code):
        study, prepared = kind.open(recipe, base, planning)
    return Opened(kind, recipe, base, prepared, study, open_store(recipe.store_place()), named, notes, code)


def write_run(opened: AnyOpened, builder: Builder, command: str) -> BaseModel:
    """Write the run folder, whole or not at all; returns what its results.json says."""
    with builder.store.guard(), fresh_folder(opened.folder) as fresh:
        results: BaseModel = opened.kind.finish(opened, builder, fresh, command)
        write_facts(opened, builder.world, results, fresh)
    return results


def _refuse_unreachable(study: Study) -> None:
    """Nothing is started that cannot finish: models and what loads them must be here, or downloadable."""
    from w2s_pref.core.hub import go_offline_if_unreachable
    from w2s_pref.models.spec import how_to_get

    for facts in study.models.values():
        quantized.require(facts.spec.quantization)
    specs = [facts.spec for facts in study.models.values() if facts.folder is None]
    missing = list(dict.fromkeys((spec.path, spec.revision) for spec in specs))
    if missing and go_offline_if_unreachable():
        raise W2SError([how_to_get(path) for path, _ in missing])
    for path, revision in missing:
        _probe_hub(path, revision)


def _probe_hub(path: str, revision: str | None) -> None:
    from huggingface_hub import hf_hub_download

    from w2s_pref.models.spec import how_to_get

    try:
        hf_hub_download(path, "config.json", revision=revision)
    except Exception as error:
        reason = masked((str(error).strip().splitlines() or [type(error).__name__])[0])
        raise W2SError(f"{how_to_get(path)} ({type(error).__name__}: {reason[:160]})") from error
