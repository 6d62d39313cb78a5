"""Which signal goes with blind-spot deception over the study's own settings: part of the risk section."""

from __future__ import annotations

from typing import Final, Literal

from w2s_pref.report.draw.blocks import Block, Column, Fold, Guide, Points, Table, Value
from w2s_pref.report.draw.format import number
from w2s_pref.results.results import Estimate, Predictor, Predictors
from w2s_pref.results.signals import SIGNALS

GUIDE: Final = Guide(
    "Spearman's correlation with BSD over settings, seeds averaged, with a 95 % interval that resamples settings, and "
    "its two-sided p after Holm's correction over the signals. Verdicts come from p alone.",
    "No signal resolved, or one that is so raw and after calibration with the same sign.",
)
Kind = Literal["raw", "calibrated"]


def _rho(head: str, kind: Kind) -> Column[Predictor]:
    def cell(entry: Predictor) -> Estimate:
        found = entry.raw if kind == "raw" else entry.calibrated
        return Estimate(estimate=found.rho, interval=found.interval)

    return Column(head, cell, 2)


def _p(kind: Kind) -> Column[Predictor]:
    def cell(entry: Predictor) -> str:
        return number(entry.raw.p_holm if kind == "raw" else entry.calibrated.p_holm)

    return Column("p", cell)


COLUMNS: Final[tuple[Column[Predictor], ...]] = (
    Column("Signal", lambda entry: SIGNALS.get(entry.signal, entry.signal)),
    _rho("Raw", "raw"),
    _p("raw"),
    _rho("Calibrated", "calibrated"),
    _p("calibrated"),
    Column("Verdict", lambda entry: Value(entry.verdict), words=True),
)


def correlations(found: Predictors) -> list[Block]:
    """Headline and what the number of settings supports, with the table behind a fold; the page only."""
    caption = f"Rank correlation of each signal with BSD over {len(found.settings)} settings."
    table = Table(caption, COLUMNS, [("", found.signals)], GUIDE, stack=True)
    return [
        Points([found.headline, *found.sentences[:1]], where="page"),
        Fold("Every signal, and what so many settings can show", [table, Points(found.sentences)], where="page"),
    ]
