"""The supervision steps of a chain: how good the labels were that each student was trained on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from w2s_pref.analysis.scores.design import ArmDesign, Context
from w2s_pref.analysis.stats.basics import credit
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.results import results


def hops(context: Context, arm: ArmDesign, labels: pd.DataFrame) -> list[results.Hop]:
    """One entry for each hop of the chain; the last hop's accuracy is that of the student without conflict."""
    out = []
    last = len(arm.chain) - 1
    for k in range(1, last + 1):
        student = f"{arm.name}/hop{k}" if k < last else f"{arm.name}/none"
        accuracy = estimate(context.accuracy(student)) if student in context.target.delta else None
        rows = labels[labels["name"] == f"{arm.name}/hop{k}"]
        if rows.empty:
            raise W2SError(f"label table: no rows named '{arm.name}/hop{k}'; give the labels of every hop.")
        out.append(_hop(context, arm.chain[k - 1], arm.chain[k], rows, accuracy))
    return out


def _hop(
    context: Context, supervisor: str, student: str, rows: pd.DataFrame, accuracy: results.Estimate | None
) -> results.Hop:
    groups, there, p_true, keep = _arrays(rows)
    draw = Resampler(groups, len(there), context.design.resamples, context.design.seed)
    hit = credit(p_true - 0.5)
    return results.Hop(
        supervisor=supervisor,
        student=student,
        label_accuracy=estimate(draw.mean(hit, there)),
        label_brier=estimate(draw.mean((1 - p_true) ** 2, there)),
        kept_share=estimate(draw.mean(keep, there)),
        kept_accuracy=estimate(draw.mean(hit, there * keep), "Undefined: no label was kept."),
        accuracy=accuracy,
    )


def _arrays(rows: pd.DataFrame) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Floats, Floats, Floats]:
    """Group codes (N,) and, each (K, N): which labels exist, their p_true and keep (0 where there is none)."""
    items = rows.drop_duplicates("id")[["id", "group"]].sort_values("id")
    codes, _ = pd.factorize(items["group"], sort=True)
    seeds = np.unique(rows["seed"].to_numpy())
    line = np.searchsorted(seeds, rows["seed"].to_numpy())
    place = pd.Index(items["id"]).get_indexer(pd.Index(rows["id"]))
    shape = (len(seeds), len(items))
    there, p_true, keep = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    there[line, place] = 1.0
    p_true[line, place] = rows["p_true"].to_numpy(dtype=np.float64)
    keep[line, place] = rows["keep"].to_numpy(dtype=np.float64)
    return codes.astype(np.int64), there, p_true, keep
