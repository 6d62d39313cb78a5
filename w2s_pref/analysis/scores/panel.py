"""A score table as aligned arrays: models x seeds x items, with every mismatch refused in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.scores.table import near, source_of, validate_scores
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.seeds import seeds_note
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.core.errors import W2SError


@dataclass(frozen=True)
class Panel:
    """Scores of several models on the same N items under the same K seeds.

    Attributes:
        ids: (N,) item ids, sorted, so that no result depends on the order of rows.
        groups: (N,) group codes 0..G-1, the unit that is resampled.
        seeds: the K seeds, ascending.
        delta: model -> (K, N) score of the true answer minus the other.
        tau: model -> (K, N) temperatures.
        broadcast: models that had a single seed and stand under every seed.
        warnings: sentences a reader of the numbers must see.
    """

    ids: tuple[str, ...]
    groups: Ints
    seeds: tuple[int, ...]
    delta: dict[str, Floats]
    tau: dict[str, Floats]
    broadcast: frozenset[str] = frozenset()
    warnings: list[str] = field(default_factory=list)

    def logits(self, model: str) -> Floats:
        """(K, N) delta / tau."""
        return np.asarray(self.delta[model] / self.tau[model])

    def p(self, model: str) -> Floats:
        """(K, N) probability the model gives to the ground-truth answer, sigmoid(delta / tau)."""
        return sigmoid(self.logits(model))

    @property
    def size(self) -> int:
        """Number of items N."""
        return len(self.ids)

    def counts(self) -> dict[str, Any]:
        """Rows (items x seeds), items, groups and seeds."""
        groups = int(self.groups.max()) + 1
        return {"n": self.size * len(self.seeds), "items": self.size, "groups": groups, "seeds": list(self.seeds)}

    def notes(self) -> list[str]:
        """How to read the intervals on this panel."""
        return [
            seeds_note(len(self.seeds)),
            *(
                f"Model {model!r} is the same under all {len(self.seeds)} seeds: intervals of its numbers alone are "
                "over items only."
                for model in self.repeated
            ),
        ]

    @property
    def repeated(self) -> list[str]:
        """Models that score every item alike under all of several seeds, sorted: one model, or a deterministic one."""
        if len(self.seeds) == 1:
            return []
        return sorted(model for model, delta in self.delta.items() if (delta == delta[0]).all())


def check_resamples(resamples: int) -> None:
    """Raise a W2SError where so few resamples have no spread."""
    if resamples < 2:
        raise W2SError(f"resamples is {resamples}; give at least 2 (2000 is usual).")


def resampled(
    scores: pd.DataFrame, models: Sequence[str], objective: str | None, resamples: int, seed: int
) -> tuple[Panel, Resampler]:
    """A score table, checked, as a panel of ``models`` with its resamples. Raises what ``panel`` and the checks do."""
    check_resamples(resamples)
    data = panel(validate_scores(scores), models, objective)
    return data, Resampler(data.groups, resamples, seed)


def panel(scores: pd.DataFrame, models: Sequence[str], objective: str | None = None) -> Panel:
    """Match the rows of ``models`` seed by seed and item by item.

    A model with one seed while others have several (a published model, say) stands under every seed; ``warnings``
    says so. Any other difference in seeds or ids is refused: nothing is dropped silently.

    Args:
        scores: a validated score table.
        models: names to take; repeats are fine.
        objective: keep only these rows; needed where the table holds several objectives.

    Raises:
        W2SError: unknown model (nearest named), unknown or ambiguous objective, seeds or ids that do not match.
    """
    wanted = list(dict.fromkeys(models))
    rows = _choose_objective(scores, wanted, objective)
    seeds, single = _common_seeds(rows, wanted)
    ids, groups = items_of(rows)
    delta: dict[str, Floats] = {}
    tau: dict[str, Floats] = {}
    for model in wanted:
        delta[model], tau[model] = _fill(rows[rows["model"] == model], model, ids, seeds, single)
    return Panel(tuple(ids), groups, seeds, delta, tau, frozenset(single), _warn(rows, single, seeds))


def _choose_objective(scores: pd.DataFrame, wanted: list[str], objective: str | None) -> pd.DataFrame:
    source = source_of(scores)
    known = sorted(scores["model"].unique())
    missing = [m for m in wanted if m not in set(known)]
    if missing:
        raise W2SError([f"{source}: no rows for model {m!r}; {near(m, known)}" for m in missing])
    rows = scores[scores["model"].isin(wanted)]
    found = sorted(rows["objective"].unique()) if "objective" in rows else [""]
    if objective is not None:
        if objective not in found:
            raise W2SError(f"{source}: no rows for objective {objective!r}; {near(objective, found)}")
        return rows[rows["objective"] == objective]
    if len(found) > 1:
        raise W2SError(
            f"{source}: rows of several objectives ({', '.join(map(repr, found))}); choose one with --objective, in "
            "Python objective="
        )
    return rows


def _common_seeds(rows: pd.DataFrame, wanted: list[str]) -> tuple[tuple[int, ...], set[str]]:
    source = source_of(rows)
    having = {m: tuple(sorted(int(s) for s in rows.loc[rows["model"] == m, "seed"].unique())) for m in wanted}
    absent = [m for m in wanted if not having[m]]
    if absent:
        raise W2SError(f"{source}: model {absent[0]!r} has no rows for this objective; score it there as well.")
    longest = max(wanted, key=lambda m: len(having[m]))
    seeds = having[longest]
    problems = []
    single: set[str] = set()
    for model in wanted:
        if having[model] == seeds:
            continue
        if len(having[model]) == 1 and len(seeds) > 1:
            single.add(model)
            continue
        problems.append(
            f"{source}: model {model!r} has seeds {list(having[model])} but {longest!r} has {list(seeds)}; "
            "give both the same seeds, or one of them a single seed."
        )
    if problems:
        raise W2SError(problems)
    return seeds, single


def items_of(rows: pd.DataFrame) -> tuple[list[str], Ints]:
    """Sorted ids of the items, and the code of each one's group."""
    items = rows.drop_duplicates("id")[["id", "group"]].sort_values("id")
    codes, _ = pd.factorize(items["group"], sort=True)
    return list(items["id"]), codes.astype(np.int64)


def _fill(
    rows: pd.DataFrame, model: str, ids: list[str], seeds: tuple[int, ...], single: set[str]
) -> tuple[Floats, Floats]:
    """(K, N) deltas and temperatures of one model; a single-seed model is repeated for every seed."""
    own = tuple(sorted(int(s) for s in rows["seed"].unique())) if model in single else seeds
    position = pd.Index(ids).get_indexer(pd.Index(rows["id"]))
    line = np.searchsorted(np.array(own), rows["seed"].to_numpy())
    delta = np.full((len(own), len(ids)), np.nan)
    tau = np.ones_like(delta)
    delta[line, position] = rows["delta"].to_numpy(dtype=np.float64)
    tau[line, position] = rows["tau"].to_numpy(dtype=np.float64) if "tau" in rows else 1.0
    holes = np.argwhere(np.isnan(delta))
    if len(holes):
        source = source_of(rows)
        seed, item = own[holes[0][0]], ids[holes[0][1]]
        raise W2SError(
            f"{source}: model {model!r} has no row for id {item!r} under seed {seed} ({len(holes)} missing in all) "
            "although other rows have it; score the same items with every model and seed, or remove the id everywhere."
        )
    if model in single:
        delta, tau = np.repeat(delta, len(seeds), axis=0), np.repeat(tau, len(seeds), axis=0)
    return delta, tau


def _warn(rows: pd.DataFrame, single: set[str], seeds: tuple[int, ...]) -> list[str]:
    warnings = [f"Model {m!r} has one seed; its scores stand under all {len(seeds)} seeds." for m in sorted(single)]
    kinds = sorted(k for k in rows["kind"].unique() if k) if "kind" in rows else []
    if len(kinds) > 1:
        warnings.append(f"Scores of several kinds ({', '.join(kinds)}): their scales are not comparable.")
    return warnings
