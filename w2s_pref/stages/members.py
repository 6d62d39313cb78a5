"""What each of several supervisors says of the pairs, for a student that learns how much to believe each of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.stages.pooled import Several
from w2s_pref.training.methods import SUPERVISOR


@dataclass(frozen=True, eq=False)
class MemberLabels(Stage):
    """Probabilities of every supervisor behind ``pooled``, each at its own temperature."""

    kind: ClassVar[str] = "labels"
    on_main: ClassVar[bool] = True
    pooled: Several

    @property
    def inputs(self) -> dict[str, Stage]:
        """The supervisors' scores."""
        return self.pooled.inputs

    @property
    def payload(self) -> dict[str, Any]:
        """What decides each of them, however they are combined."""
        return {"members": self.pooled.each}

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: id, supervisor0, supervisor1, …"""
        ids, p, _ = self.pooled.probabilities(builder)
        columns = {f"{SUPERVISOR}{number}": each for number, each in enumerate(p)}
        pd.DataFrame({"id": ids, **columns}).to_parquet(folder / "table.parquet", index=False)
        return {"pairs": len(ids)}


@dataclass(frozen=True, eq=False)
class Raven:
    """How a student learns the weights of its supervisors: their learning rate, and the share of easy pairs first."""

    labels: MemberLabels
    rate: float
    easy: float

    @property
    def count(self) -> int:
        """Supervisors."""
        return self.labels.pooled.count

    @property
    def inputs(self) -> dict[str, Stage]:
        """The supervisors' labels."""
        return {"members": self.labels}

    @property
    def payload(self) -> dict[str, Any]:
        """Rate and share."""
        return {"rate": self.rate, "easy": self.easy}

    def columns(self, builder: Builder, ids: list[str], table: pd.DataFrame, weak: bool) -> pd.DataFrame:
        """The table of a part with a column a supervisor; pairs that none of them labels have one label for all.

        Args:
            weak: whether the supervisors labelled this part.
        """
        if not weak:
            return table.assign(**{f"{SUPERVISOR}{number}": table["p"] for number in range(self.count)})
        said = builder.table(self.labels).set_index("id").loc[ids]
        return table.assign(**{str(name): said[name].to_numpy() for name in said})
