"""Which signal goes with blind-spot deception over the study's own settings: part of the risk section."""

from __future__ import annotations

from typing import Final

from w2s_pref.report.draw.blocks import Block, Cell, Fold, Guide, Points, Table, TableGroup
from w2s_pref.report.draw.format import interval, number, plain
from w2s_pref.report.draw.svg import el
from w2s_pref.results.risk import SIGNALS, Predictors, RankCorrelation

GUIDE: Final = Guide(
    "Spearman's correlation with BSD over settings, seeds averaged, with a 95 % interval that resamples settings, and "
    "its two-sided p after Holm's correction over the signals. Verdicts come from p alone.",
    "No signal resolved, or one that is so raw and after calibration with the same sign.",
)


def correlations(found: Predictors) -> list[Block]:
    """Headline and what the number of settings supports, with the table behind a fold."""
    table = Table(
        f"Rank correlation of each signal with BSD over {len(found.settings)} settings.",
        ("Signal", "Raw", "p", "Calibrated", "p", "Verdict"),
        [TableGroup("", [_row(SIGNALS.get(e.signal, plain(e.signal)), e.raw, e.calibrated, e.verdict)
                         for e in found.signals])],
        GUIDE,
        stack=True,
        text_columns=(0, 5),
    )  # fmt: skip
    sentences = [plain(text) for text in found.sentences]
    return [
        Points([plain(found.headline), *sentences[:1]]),
        Fold("Every signal, and what so many settings can show", [table, Points(sentences)]),
    ]


def _row(name: str, raw: RankCorrelation, calibrated: RankCorrelation, verdict: str) -> list[Cell]:
    cells: list[Cell] = [name]
    for entry in (raw, calibrated):
        bounds = el("span", interval(entry.interval, 2) or "no interval", class_="iv")
        cells.append(el("span", number(entry.rho, 2), class_="est") + bounds)
        cells.append("undefined" if entry.p_holm is None else number(entry.p_holm))
    return [*cells, plain(verdict)]
