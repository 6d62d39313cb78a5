"""A watched training's signals against another weak model: margins on the probe are kept, so no model is run again."""

from __future__ import annotations

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.monitor.signals import signals

#: Column of a look's margins, one for each probe pair, in the probe's order.
MARGIN = "margin"


def against(table: pd.DataFrame, weak: Floats, truth: Floats | None) -> pd.DataFrame:
    """The monitor's table with its signals computed anew.

    Args:
        table: looks with their margins (``RiskMonitor(keep_margins=True)``).
        weak, truth: weak p of ``a`` and truth of the probe pairs, (N,), in the probe's order.

    Returns:
        step, fraction, loss and the signals, one row a look, without margins.
    """
    rows = []
    for _, look in table.iterrows():
        margin = np.asarray(look[MARGIN], dtype=np.float64)
        known = {name: float(look[name]) for name in ("fraction", "loss")}
        found = signals(margin, weak, truth) if np.isfinite(margin).all() else {}
        rows.append({"step": int(look["step"]), **known, **found})
    return pd.DataFrame(rows)
