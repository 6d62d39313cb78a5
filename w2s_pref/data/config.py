"""The ``data`` part of a recipe, and the one call that turns it into splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Discriminator, Field, Tag, model_validator

from w2s_pref.core.errors import W2SError
from w2s_pref.core.strict import Section, Seed
from w2s_pref.core.tables import PAIR_COLUMNS, TRUTH_P, digest
from w2s_pref.data.problems import first
from w2s_pref.data.readers import DATASETS, accepts, is_function
from w2s_pref.data.sources import Source, load
from w2s_pref.data.split import CONFLICT_SPLITS, TARGET_SPLITS, alike, split


class TargetFiles(Section):
    """A source of its own for every split of the target objective."""

    gt: Source
    w2s: Source
    test: Source
    calibration: Source | None = None
    probe: Source | None = None


class ConflictFiles(Section):
    """A source of its own for every split of the conflicting objective."""

    conflict: Source
    conflict_test: Source | None = None


def _kind(value: Any) -> str:
    """Which of the two forms a recipe uses: one source to be cut, or one source a split."""
    per_split = {*TARGET_SPLITS, *CONFLICT_SPLITS}
    if isinstance(value, dict):
        return "[splits]" if per_split & value.keys() and "source" not in value else "[source]"
    return "[splits]" if isinstance(value, TargetFiles | ConflictFiles) else "[source]"


Target = Annotated[Annotated[Source, Tag("[source]")] | Annotated[TargetFiles, Tag("[splits]")], Discriminator(_kind)]
Conflict = Annotated[
    Annotated[Source, Tag("[source]")] | Annotated[ConflictFiles, Tag("[splits]")], Discriminator(_kind)
]
Rows = Annotated[int, Field(ge=1)]


class Sizes(Section):
    """Rows of every split. Needed for splits that are cut here; otherwise all rows of the split's own source."""

    gt: Rows | None = Field(default=None, description="pairs with ground truth: trains the ceilings")
    calibration: Rows | None = Field(default=None, description="pairs held out to calibrate weak labels")
    w2s: Rows | None = Field(default=None, description="pairs that the weak model labels")
    test: Rows | None = Field(default=None, description="pairs that every metric of the target objective uses")
    probe: Rows | None = Field(default=None, description="pairs that the monitor looks at while models train")
    conflict: Rows | None = Field(default=None, description="pairs of the conflicting objective, for training")
    conflict_test: Rows | None = Field(default=None, description="pairs of the conflicting objective, for testing")

    def given(self) -> dict[str, int]:
        """Split -> rows, for the splits that have a size."""
        return {name: size for name, size in self if size is not None}


class DataConfig(Section):
    """Two objectives, their splits, and what happens to what is too long."""

    version: Literal[1, 2] = Field(
        default=2, description="how data are cut, read and tokenised; 1: as before there was a second way"
    )
    target: Target = Field(description="the objective that is supervised: one source, or one for each split")
    conflict: Conflict | None = Field(default=None, description="the conflicting objective, if there is one")
    splits: Sizes = Field(default=Sizes(), description="rows of every split")
    seed: Seed = Field(default=0, description="decides which prompt goes where (and the built-in world's pairs)")
    overlap: Literal["error", "drop"] = Field(
        default="error",
        description="splits with sources of their own that share prompts: error, or drop them in training",
    )
    max_length: int = Field(default=512, ge=8, description="longest text in tokens, special tokens included")
    overlong: Literal["error", "truncate", "drop"] = Field(
        default="truncate", description="texts over max_length: error, cut the prompt from the left, or drop the pair"
    )

    control_tokens: Literal["text", "keep"] = Field(
        default="text",
        description="what data spell like a control token stays text, or becomes one (version 1: always becomes one)",
    )
    unknown_tokens: Literal["error", "warn"] = Field(
        default="error", description="more than 20 % of the tokens of a split are unknown to a model: error, or go on"
    )

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        sizes = self.splits.given()
        needs: list[str] = []
        if isinstance(self.target, Source):
            needs += ["gt", "w2s", "test"]
        if isinstance(self.conflict, Source):
            needs += ["conflict"]
        missing = [name for name in needs if name not in sizes]
        if missing:
            raise ValueError(f"splits needs a number of rows for {', '.join(missing)}")
        read = CONFLICT_SPLITS if isinstance(self.conflict, Source) else tuple(_sources(self.conflict))
        unread = [name for name in CONFLICT_SPLITS if name in sizes and name not in read]
        if unread:
            raise ValueError(f"splits has {', '.join(unread)}, but there is no source for it under conflict")
        objectives = [{source.objective for source in _sources(side).values()} for side in (self.target, self.conflict)]
        if any(len(names) > 1 for names in objectives):
            raise ValueError("the splits of one objective must name the same objective")
        if objectives[0] & objectives[1]:
            raise ValueError(f"target and conflict are both called {self.target_objective!r}; name two objectives")
        return self

    @property
    def text_stays_text(self) -> bool:
        """Whether data never become a control token."""
        return self.version > 1 and self.control_tokens == "text"

    @property
    def target_objective(self) -> str:
        """Name of the objective that is supervised."""
        return next(iter(_sources(self.target).values())).objective

    @property
    def conflict_objective(self) -> str | None:
        """Name of the conflicting objective, or None."""
        return next((source.objective for source in _sources(self.conflict).values()), None)


@dataclass(frozen=True)
class Prepared:
    """The data of a recipe.

    Attributes:
        splits: ``gt``, ``calibration`` (if asked for), ``w2s``, ``test``, and ``conflict``, ``conflict_test`` where
            there is a conflicting objective: pairs in neutral order, ids unique over all splits, groups in one split.
        counts: what was read, dropped and cut, as ``target.read``, ``conflict.duplicates``, ``split.gt.rows`` …
        hashes: split -> SHA-256 over its pairs, ground truth included, whatever their order.
        notes: sentences about what is not read or could not be checked, where a plan goes on without it.
    """

    splits: dict[str, pd.DataFrame] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


#: Pairs → for each model that cannot tell some of them apart, the ids of these.
Equal = Callable[[pd.DataFrame], Mapping[str, set[str]]]


def prepare(config: DataConfig, base: Path = Path(), equal: Equal | None = None) -> Prepared:
    """Load, validate and split everything a recipe names. Relative paths start at ``base``.

    Args:
        equal: says which pairs are equal to a model; under version 2 they are dropped once, for all models, before
            anything is cut.

    Raises:
        W2SError: a source, a row, a size or an overlap that cannot be used; see ``load`` and ``split``.
    """
    if unsized := _unsized(config, base):
        raise W2SError(unsized)
    total = sum(config.splits.given().values())
    counts: dict[str, int] = {}
    notes: list[str] = []
    sides: list[pd.DataFrame | dict[str, pd.DataFrame] | None] = []
    for side, name in ((config.target, "target"), (config.conflict, "conflict")):
        loaded = {
            key: load(_filled(source, config, total, base), base, config.version)
            for key, source in _sources(side).items()
        }
        counts |= {
            ".".join(filter(None, (name, key, count))): n
            for key, one in loaded.items()
            for count, n in one.counts.items()
        }
        notes += [note for one in loaded.values() for note in one.notes]
        frames = {key: one.frame for key, one in loaded.items()}
        if equal is not None and config.version > 1:
            frames = {
                key: _told_apart(frame, equal, ".".join(filter(None, (name, key))), counts)
                for key, frame in frames.items()
            }
        sides.append(None if side is None else frames.get("", frames))
    target, conflict = sides
    assert target is not None
    done = split(target, conflict, config.splits.given(), config.seed, config.overlap, config.version)
    _check_ids(done.frames)
    hashes = {name: content(frame) for name, frame in done.frames.items()}
    shared = alike(done.frames)
    counts |= done.counts | {f"split.{name}.like.{other}": n for (name, other), n in shared.items()}
    notes += [_not_apart(shared, done.frames)] if shared else []
    return Prepared(done.frames, counts, hashes, list(dict.fromkeys(notes)))


def _not_apart(shared: Mapping[tuple[str, str], int], frames: Mapping[str, pd.DataFrame]) -> str:
    said = ", ".join(
        f"{n:,} of {len(frames[name]):,} pairs of {name} with {other}" for (name, other), n in shared.items()
    )
    return (
        f"prompts or texts that splits share: {said}; what keeps pairs of several sources apart is a prompt column, or "
        "groups that mean the same in all: give these, or leave such pairs out"
    )


def _told_apart(frame: pd.DataFrame, equal: Equal, name: str, counts: dict[str, int]) -> pd.DataFrame:
    """The pairs that every model can tell apart; how many each one cannot is counted."""
    by_model = equal(frame)
    counts |= {f"{name}.equal.{model}": len(ids) for model, ids in by_model.items()}
    gone = frame["id"].isin(set().union(*by_model.values()))
    if not gone.any():
        return frame
    counts[f"{name}.dropped.equal"] = int(gone.sum())
    if gone.all():
        raise W2SError(
            f"{name}: every pair is the same tokens to {' or '.join(f'models.{model}' for model in by_model)}, which "
            "does not know its words (take another model), or has them cut off (raise data.max_length)"
        )
    return frame[~gone].reset_index(drop=True)


def content(frame: pd.DataFrame) -> str:
    """SHA-256 over the pairs of a table, ground truth included, sorted by id; extra columns do not count."""
    columns = [*PAIR_COLUMNS, *([TRUTH_P] if TRUTH_P in frame else [])]
    rows = frame[columns].sort_values("id")
    return digest(*columns, *(str(value) for column in columns for value in rows[column].tolist()))


def _sources(side: Source | TargetFiles | ConflictFiles | None) -> Mapping[str, Source]:
    """Split -> source; one source that is to be cut stands under the empty name."""
    if side is None:
        return {}
    if isinstance(side, Source):
        return {"": side}
    return {name: source for name, source in side if source is not None}


def _filled(source: Source, config: DataConfig, total: int, base: Path) -> Source:
    """A source with ``rows`` and ``seed`` for a function that takes them and a recipe that does not say.

    Under version 2 ``rows`` is a power of two: a split of a slightly other size is cut from the same pairs.
    """
    enough = total + total // 10 + 50
    defaults = {"rows": enough if config.version == 1 else 1 << (enough - 1).bit_length(), "seed": config.seed}
    options = {key: value for key, value in defaults.items() if _open(source, key, base)}
    return source.model_copy(update={"options": {**source.options, **options}}) if options else source


def _open(source: Source, key: str, base: Path) -> bool:
    """Whether functions make these pairs that all take the option ``key``, which the recipe leaves open."""
    functions = [DATASETS.find(name, base) for name in source.names() if is_function(name, base)]
    return bool(functions) and key not in source.options and all(accepts(function, key) for function in functions)


def _unsized(config: DataConfig, base: Path) -> list[str]:
    """Sentences on splits that have a function of their own and nothing that says how many rows it should make."""
    sides = {"target": _sources(config.target), "conflict": _sources(config.conflict)}
    return [
        f"data.{side}.{name}: {', '.join(source.names())} makes as many rows as it is asked for, and nothing says how "
        f"many; write data.splits: {{{name}: 1000}}, or options: {{rows: 1000}} at this source, with your own number"
        for side, sources in sides.items()
        for name, source in sources.items()
        if name and name not in config.splits.given() and _open(source, "rows", base)
    ]


def _check_ids(splits: dict[str, pd.DataFrame]) -> None:
    seen: dict[str, str] = {}
    problems: list[str] = []
    for name, frame in splits.items():
        problems += [
            f"id {row_id!r} is in split {seen[row_id]} and in split {name}; labels join pairs by id, so make ids "
            "unique over all sources, or write columns: {id: null} to use content ids"
            for row_id in frame["id"]
            if row_id in seen
        ]
        seen |= dict.fromkeys(frame["id"], name)
    if problems:
        raise W2SError(first(problems))
