"""The monitor's table: one row a look, on disk as ``monitor.parquet`` after each, continued by a resumed training.

Margins on the probe may be kept in it, so that signals against another weak model need no model to run again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.monitor.signals import signals

FILE = "monitor.parquet"


class Record:
    """Rows in order of their step. Without a folder they stay in memory."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []

    def resume(self, step: int, inside: bool = False) -> None:
        """Take up what was written up to ``step``; later looks are of a training that is being repeated.

        ``inside``: it goes on inside the step after that one, so that step 0 has been looked at as well.
        """
        if (step == 0 and not inside) or self.folder is None or not (self.folder / FILE).is_file():
            self.rows = [row for row in self.rows if step and row["step"] <= step]
            return
        try:
            table = pd.read_parquet(self.folder / FILE)
        except (OSError, ValueError) as error:
            raise W2SError(f"{self.folder / FILE}: cannot be read ({error}); remove it to start a new one") from error
        records = table[table["step"] <= step].to_dict("records")
        self.rows = [{str(name): value for name, value in row.items()} for row in records]

    def add(self, row: dict[str, Any], write: bool) -> None:
        """Append a look; ``write`` on one process only. A reader sees the old file or the new one."""
        self.rows.append(row)
        if not write or self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / (FILE + ".tmp")
        self.table.to_parquet(temporary, index=False)
        temporary.replace(self.folder / FILE)

    @property
    def table(self) -> pd.DataFrame:
        """step, fraction, loss and the signals; NaN where undefined."""
        return pd.DataFrame(self.rows)

    @property
    def last(self) -> int | None:
        """Step of the newest look."""
        return int(self.rows[-1]["step"]) if self.rows else None


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
        logged = {name: float(look[name]) for name in ("fraction", "loss")}
        found = signals(margin, weak, truth) if np.isfinite(margin).all() else {}
        rows.append({"step": int(look["step"]), **logged, **found})
    return pd.DataFrame(rows)
