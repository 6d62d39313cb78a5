"""Several supervisors as one: the probability that they give together, and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from w2s_pref.analysis.stats.basics import credit, expected
from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import certainty, orient
from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.labels.supervisors import combined, disagreement
from w2s_pref.stages.labels import Scored, fitted
from w2s_pref.training.methods import TAU

#: In the keys of what learns from votes: a student agrees by half with a tied one, which counted as one for class 1.
TIED = {"vote": {"ties": "half"}}
#: The probability given together has finite log-odds: it is at least so far from 0 and 1.
NEAREST = 1e-6


def scores_together(ids: Sequence[str], p: Floats, together: Floats, nearest: float = NEAREST) -> pd.DataFrame:
    """``id, score_a, score_b, spread``: log-odds of the probability given together, and how far apart the members are.

    Args:
        p: (S, N), what each member gives to ``a``.
        together: (N,), their combination.
        nearest: least distance of it from 0 and 1.
    """
    inside = np.clip(together, nearest, 1 - nearest)
    scores = {"score_a": np.log(inside), "score_b": np.log1p(-inside), "spread": disagreement(p)}
    return pd.DataFrame({"id": ids, **scores})


def share_right(scores: pd.DataFrame, pairs: pd.DataFrame) -> float:
    """Share of the pairs of known truth that scores get right, ties and doubtful truth counted by halves and shares."""
    gaps, known = orient(scores, pairs), certainty(pairs)
    sure = None if known is None else np.asarray(known[gaps["id"]], dtype=np.float64)
    return float(np.mean(expected(credit(gaps["delta"].to_numpy()), sure)))


@dataclass(frozen=True, eq=False)
class Several(Scored):
    """Scores that several supervisors give together, each of which can also be heard alone."""

    @property
    def count(self) -> int:
        """Supervisors."""
        raise NotImplementedError

    @property
    def each(self) -> dict[str, Any]:
        """What decides the probabilities of each, beside the inputs."""
        raise NotImplementedError

    def probabilities(self, builder: Builder) -> tuple[list[str], Floats, list[float]]:
        """Ids (N,), what each member gives to ``a`` (S, N), and the members' temperatures (S,)."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class PooledScores(Several):
    """Scores whose difference is the log-odds of several supervisors' combined probability.

    ``calibration`` holds the members' scores of ground-truth pairs, where their temperatures are fitted (``fit``) or
    the combination reads their accuracy.
    """

    on_main: ClassVar[bool] = True
    members: tuple[Scored, ...]
    combine: str
    code: str = ""
    calibration: tuple[Scored, ...] = ()
    fit: bool = False

    @property
    def inputs(self) -> dict[str, Stage]:
        """The members' scores, of these pairs and of the calibration pairs."""
        held = {f"calibration{number}": stage for number, stage in enumerate(self.calibration)}
        return {**{f"member{number}": stage for number, stage in enumerate(self.members)}, **held}

    @property
    def payload(self) -> dict[str, Any]:
        """The combination, and the ground truth of the calibration pairs where it is read."""
        truth = self.calibration[0].on.truth if self.calibration else None
        return {"combine": self.combine, "code": self.code, "fit": self.fit, "calibration": truth}

    @property
    def count(self) -> int:
        """Supervisors."""
        return len(self.members)

    @property
    def each(self) -> dict[str, Any]:
        """Whether temperatures are fitted, and on what."""
        return {name: self.payload[name] for name in ("fit", "calibration")}

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: id, score_a, score_b, and ``spread``, the standard deviation of the members' p."""
        ids, p, temperatures = self.probabilities(builder)
        shares = self._accuracies(builder)
        scores_together(ids, p, combined(self.combine, p, shares, builder.base)).to_parquet(
            folder / "table.parquet", index=False
        )
        told = {"temperatures": temperatures, "accuracies": None if shares is None else shares.tolist()}
        return {"pairs": len(ids), "dropped": len(self.on) - len(ids), **told}

    def probabilities(self, builder: Builder) -> tuple[list[str], Floats, list[float]]:
        """Ids (N,), what each member gives to ``a`` (S, N), and the members' temperatures (S,).

        Raises:
            W2SError: they did not score the same pairs.
        """
        tables = [builder.table(member) for member in self.members]
        ids = tables[0]["id"]
        if len({frozenset(table["id"]) for table in tables}) > 1:
            sizes = ", ".join(f"{len(table):,} by {m.name}" for table, m in zip(tables, self.members, strict=True))
            raise W2SError(
                f"{self.name}: supervisors that are combined must score the same pairs, but they scored {sizes}; "
                "data.overlong: drop leaves out what is too long for one tokenizer: write truncate, or raise "
                "data.max_length"
            )
        temperatures = [fitted(builder, each) for each in self.calibration] if self.fit else self._as_they_are
        gaps = [t.set_index("id").loc[ids, "score_a"] - t.set_index("id").loc[ids, "score_b"] for t in tables]
        margins = np.stack([gap.to_numpy(float) / t for gap, t in zip(gaps, temperatures, strict=True)])
        return ids.tolist(), np.exp(-np.logaddexp(0.0, -margins)), temperatures

    @property
    def _as_they_are(self) -> list[float]:
        return [TAU[member.form] for member in self.members]

    def _accuracies(self, builder: Builder) -> Floats | None:
        """(S,) share of the calibration pairs that each member gets right; None without such pairs."""
        if not self.calibration:
            return None
        return np.array([share_right(builder.table(each), each.on.frame) for each in self.calibration])
