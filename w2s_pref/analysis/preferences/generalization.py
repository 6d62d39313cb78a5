"""Weak-to-strong generalization (Burns et al., arXiv 2312.09390): accuracy, gap recovered, agreement, inheritance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from w2s_pref.analysis.preferences.generalization_measures import Recovered, agreement, inheritance, recovered
from w2s_pref.analysis.scores.panel import Panel, resampled
from w2s_pref.analysis.stats.basics import Ties, credit, number
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.seeds import READINGS, disagreements, reading, side
from w2s_pref.analysis.stats.stat import Stat

#: Below a gap of this many points of accuracy a PGR is usually noise (a warning, not a rule).
SMALL_GAP = 0.03


def analyze_generalization(
    scores: pd.DataFrame,
    weak: str,
    student: str,
    ceiling: str,
    resamples: int = 2000,
    seed: int = 0,
    *,
    ties: Ties = "half",
    objective: str | None = None,
) -> dict[str, Any]:
    """Accuracies, PGR, agreement with the weak model and error inheritance of one student.

    Args:
        scores: a score table (see ``read_scores``).
        weak: the supervisor and floor; student: trained on its labels; ceiling: the strong model on ground truth.
        resamples, seed: of the bootstrap.
        ties: ``half`` (delta = 0 counts one half) or ``right`` (counts one).
        objective: which rows, where the table holds several objectives.

    Returns:
        A JSON-ready dictionary. ``pgr`` is None where the gap is not above noise; ``pgr_raw`` is the plain ratio, None
        only where the gap is exactly 0. ``intervals`` hold for other prompts and seeds (prompts alone where there is
        one seed), ``intervals_in_seeds`` for other prompts. ``sensitivity``: the smallest true ``difference_80`` of
        student minus weak accuracy, and the smallest PGR ``pgr_80``, that 80 % of such studies find.

    Raises:
        W2SError: bad table or unknown model.
    """
    data, draw = resampled(scores, (weak, student, ceiling), objective, resamples, seed)
    roles = {"weak": weak, "student": student, "ceiling": ceiling}
    found = {"models": roles, **data.counts(), "resamples": resamples, **_numbers(data, roles, draw, ties)}
    return {**found, "notes": data.notes()}


def _numbers(data: Panel, roles: dict[str, str], draw: Resampler, ties: Ties) -> dict[str, Any]:
    """Every number with both its intervals, what could have been seen, the verdict and warnings."""
    credits = {role: credit(data.delta[name], ties) for role, name in roles.items()}
    accuracy = {role: draw.mean(x) for role, x in credits.items()}
    pgr = recovered(credits["weak"], credits["student"], credits["ceiling"], draw)
    nested = {
        "accuracy": accuracy,
        "agreement": agreement(credits["weak"], credits["student"], draw),
        "inheritance": inheritance(credits["weak"], credits["student"], draw),
    }
    unlike = disagreements({f"the accuracy of {roles[role]}": stat for role, stat in accuracy.items()})
    return {
        **_read(pgr, nested, lambda stat: number(stat.value)),
        "pgr_raw": number(pgr.stat.value),
        "pgr_fieller": None if pgr.fieller is None else list(pgr.fieller),
        **{name: _read(pgr, nested, read) for name, read in READINGS.items()},
        "sensitivity": {
            "difference_80": pgr.lead_found,
            "pgr_80": None if pgr.note else number(pgr.stat.smallest_found),
        },
        "verdict": verdict(pgr),
        "warnings": [*data.warnings, *warnings(pgr), *unlike],
    }


def _read(pgr: Recovered, nested: dict[str, dict[str, Stat]], read: Callable[[Stat], Any]) -> dict[str, Any]:
    """One reading of every number, nested as the numbers are."""
    return {
        **{name: {key: read(stat) for key, stat in stats.items()} for name, stats in nested.items()},
        "gap": read(pgr.gap),
        "difference": read(pgr.lead),
        "pgr": None if pgr.note else read(pgr.stat),
    }


def warnings(pgr: Recovered) -> list[str]:
    """Why a PGR is missing or weak."""
    if pgr.note:
        return [pgr.note]
    found = []
    if pgr.gap.value < SMALL_GAP:
        found.append(f"The gap is only {pgr.gap.value:.3f}: a PGR on less than {SMALL_GAP} is mostly noise.")
    if pgr.fieller is None:
        found.append("Fieller's set for the PGR is unbounded: the gap is too close to 0 for an interval to be trusted.")
    return found


def verdict(pgr: Recovered) -> str:
    """One sentence on the gap recovered; the interval over seeds leads, because another training draws another seed."""
    if pgr.note:
        return pgr.note
    if not pgr.stat.defined:
        return "Not resolved: the PGR has no interval."
    numbers = f"PGR {reading(pgr.stat, 2)}"
    over, here = side(pgr.stat.interval()), side(pgr.stat.in_seeds())
    words = "better" if (over or here) > 0 else "worse"
    if over:
        return f"The student is {words} than its supervisor: {numbers}."
    least = pgr.lead_found
    seen = "" if least is None else f" A true lead of {least:.3f} in accuracy would have been found (80 %)."
    if here:
        return f"Not resolved over seeds: {words} than its supervisor in these, others may differ: {numbers}.{seen}"
    return f"Not resolved: the student is not distinguishable from its supervisor: {numbers}.{seen}"
