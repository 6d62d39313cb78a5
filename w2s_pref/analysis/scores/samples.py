"""Judged samples of policies: one table, checked, sorted and coded, with the resamples every statistic shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from w2s_pref.analysis.stats.basics import divide
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.stat import PLAIN, Form, Stat
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.core.errors import W2SError
from w2s_pref.results.speech import Judge

JUDGES: tuple[Judge, ...] = get_args(Judge)
KEYS = ["model", "seed", "id", "sample"]
#: Columns of the judged table, one row a sample. Values are NaN where there is none; ``logp`` and ``ref_logp`` are the
#: summed log-probabilities of the sample under the policy that produced it and under that policy's reference.
JUDGED_COLUMNS = (*KEYS, "group", *JUDGES, "tokens", "ended", "refusal", "unparseable", "logp", "ref_logp")
#: Columns of the anchors: what a judge says of the two answers of a test pair; with ``seed`` where it depends on it.
ANCHOR_COLUMNS = ("id", "judge", "value_true", "value_other")


@dataclass(frozen=True)
class Samples:
    """Samples of every model on N prompts under K seeds.

    Attributes:
        table: the judged rows in one order, with ``line`` (place of the seed) and ``item`` (place of the id).
        ids: (N,) sorted ids of the prompts.
        seeds: the K seeds of the study, ascending.
        draw: resamples of the prompts' groups.
    """

    table: pd.DataFrame
    ids: tuple[str, ...]
    seeds: tuple[int, ...]
    draw: Resampler

    @property
    def shape(self) -> tuple[int, int]:
        """(K, N)."""
        return len(self.seeds), len(self.ids)

    def of(self, model: str) -> pd.DataFrame:
        """Rows of one model."""
        return self.table[self.table["model"] == model]

    def totals(self, rows: pd.DataFrame, values: Floats) -> Floats:
        """(K, N) sums of a value per row over the samples of each seed and prompt."""
        place = rows["line"].to_numpy() * self.shape[1] + rows["item"].to_numpy()
        sums = np.bincount(place, weights=values, minlength=self.shape[0] * self.shape[1])
        return sums.astype(np.float64).reshape(self.shape)

    def mean(
        self, rows: pd.DataFrame, values: Floats, weights: Floats | None = None,
        form: Form = PLAIN,
    ) -> Stat:  # fmt: skip
        """Sum of ``values`` over sum of ``weights`` (default: the count); rows where a value is NaN are left out."""
        weight = np.ones(len(rows)) if weights is None else weights
        there = np.isfinite(values)
        parts = [self.totals(rows, np.where(there, x, 0.0)) for x in (values, weight)]
        return self.draw.sums(np.stack(parts, axis=-1)).stat(lambda c: divide(c[..., 0], c[..., 1]), form)


def samples(judged: pd.DataFrame, seeds: Sequence[int], resamples: int, seed: int) -> Samples:
    """Check, sort and code the judged table.

    Args:
        judged: rows of ``JUDGED_COLUMNS`` in any order.
        seeds: seeds of the study.
        resamples, seed: of the bootstrap.

    Raises:
        W2SError: a missing column, no rows, a seed outside the study, the same sample twice, an id in two groups.
    """
    _columns(judged, JUDGED_COLUMNS, "judged table")
    if judged.empty:
        raise W2SError("judged table: it has no rows; give one row for each sample, or leave the table out.")
    order = sorted(seeds)
    strange = sorted(set(judged["seed"]) - set(order))
    if strange:
        raise W2SError(f"judged table: it has seed {strange[0]} and the study has {order}; use the study's seeds.")
    twice = judged[judged.duplicated(KEYS)]
    if len(twice):
        row = twice.iloc[0]
        raise W2SError(
            f"judged table: model {row['model']!r} has sample {row['sample']} of id {row['id']!r} under seed "
            f"{row['seed']} twice; keep one."
        )
    items = judged[["id", "group"]].drop_duplicates().sort_values("id")
    if items["id"].duplicated().any():
        name = items.loc[items["id"].duplicated(), "id"].iloc[0]
        raise W2SError(f"judged table: id {name!r} stands in two groups; give a prompt one group.")
    codes: Ints = pd.factorize(items["group"], sort=True)[0].astype(np.int64)
    table = judged.sort_values(KEYS, ignore_index=True)
    numbers = [*JUDGES, "tokens", "logp", "ref_logp", "ended", "refusal", "unparseable"]
    table[numbers] = table[numbers].astype(np.float64)
    table["line"] = np.searchsorted(np.array(order), table["seed"].to_numpy())
    table["item"] = pd.Index(items["id"]).get_indexer(pd.Index(table["id"]))
    draw = Resampler(codes, resamples, seed)
    return Samples(table, tuple(items["id"]), tuple(order), draw)


def midpoints(found: Samples, anchors: pd.DataFrame | None, judge: str) -> Floats | None:
    """(K, N) middle between a judge's values of the true and of the other answer; NaN for pairs without.

    Anchors without a seed, or of a single one, stand under every seed. None where the judge has none.

    Raises:
        W2SError: a missing column, or two anchors for one pair, seed and judge.
    """
    if anchors is None:
        return None
    _columns(anchors, ANCHOR_COLUMNS, "anchor table")
    rows = anchors[(anchors["judge"] == judge) & anchors["id"].isin(found.ids)]
    if rows.empty:
        return None
    if "seed" not in rows:
        rows = rows.assign(seed=found.seeds[0])
    if rows.duplicated(["id", "seed"]).any():
        name = rows.loc[rows.duplicated(["id", "seed"]), "id"].iloc[0]
        raise W2SError(f"anchor table: id {name!r} has two rows of judge {judge!r} under one seed; keep one.")
    middle = np.full(found.shape, np.nan)
    place = pd.Index(found.ids).get_indexer(pd.Index(rows["id"]))
    value = (rows["value_true"].to_numpy(dtype=np.float64) + rows["value_other"].to_numpy(dtype=np.float64)) / 2
    if rows["seed"].nunique() == 1:
        middle[:, place] = value
    else:
        known = rows["seed"].isin(found.seeds).to_numpy()
        line = np.searchsorted(np.array(found.seeds), rows["seed"].to_numpy()[known])
        middle[line, place[known]] = value[known]
    return middle if np.isfinite(middle).any() else None


def _columns(frame: pd.DataFrame, wanted: Sequence[str], name: str) -> None:
    missing = [column for column in wanted if column not in frame]
    if missing:
        raise W2SError(f"{name}: column {missing[0]!r} is missing; it needs {', '.join(wanted)}.")
