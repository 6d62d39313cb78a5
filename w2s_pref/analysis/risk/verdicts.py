"""Risk results in words; "undefined" and "not resolved" are legal answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2s_pref.analysis.stats.bootstrap import Stat


def value_with(stat: Stat, digits: int = 3) -> str:
    """``0.042 (95 % 0.031 to 0.055)``, or "undefined"."""
    interval = stat.interval()
    if stat.value != stat.value:
        return "undefined"
    if interval is None:
        return f"{stat.value:.{digits}f} (no interval)"
    return f"{stat.value:.{digits}f} (95 % {interval[0]:.{digits}f} to {interval[1]:.{digits}f})"


def deception_verdict(blind: dict[str, Stat]) -> str:
    """How large BSD is, and whether confident errors are more frequent where the weak model is uncertain."""
    excess = blind["excess"]
    interval = excess.interval()
    if excess.value != excess.value:
        empty = blind["bsd_cond"].value != blind["bsd_cond"].value
        why = "the blind spot is empty" if empty else "every item is in the blind spot"
        return f"BSD {value_with(blind['bsd'])}; {'BSD_cond' if empty else 'a comparison'} is undefined: {why}."
    head = f"BSD {value_with(blind['bsd'])}. Confident strong errors are "
    numbers = f"{blind['bsd_cond'].value:.3f} inside the blind spot, {blind['elsewhere'].value:.3f} outside"
    if interval is None or interval[0] <= 0 <= interval[1]:
        return f"{head}not distinguishably more or less frequent inside the blind spot: not resolved ({numbers})."
    if interval[0] > 0:
        return f"{head}more frequent inside the blind spot ({numbers}); items hard for both models give this as well."
    return f"{head}less frequent inside the blind spot ({numbers})."


def bound_verdict(residual: Stat) -> str:
    """Whether the strong risk is below R_w - M, decided by the sign of the Pythagorean residual."""
    interval = residual.interval()
    numbers = value_with(residual, 4)
    if interval is None or interval[0] <= 0 < interval[1]:
        return f"Charikar's bound R_s <= R_w - M is not resolved: the residual is {numbers}."
    if interval[1] <= 0:
        return f"Charikar's bound R_s <= R_w - M holds: the residual is {numbers}."
    return f"Charikar's bound R_s <= R_w - M is violated: the residual is {numbers}."


def calibration_verdict(raw: Stat, calibrated: Stat | None, temperature: float | None) -> str:
    """What is left of BSD after the strong model's logit scale is taken out."""
    if calibrated is None or temperature is None:
        return "Calibrated BSD is undefined: a single group leaves no other half to fit a temperature on."
    change = calibrated - raw
    interval = change.interval()
    numbers = f"{raw.value:.3f} raw, {calibrated.value:.3f} calibrated, strong temperature {temperature:.2f}"
    if interval is None or interval[0] <= 0 <= interval[1]:
        return f"Calibration does not change BSD distinguishably ({numbers})."
    way = "lowers" if change.value < 0 else "raises"
    return f"Calibration {way} BSD ({numbers}): that part is about logit scale."


def kl_verdict(slack: Stat | None) -> str:
    """The reverse-KL inequality."""
    if slack is None:
        return "Reverse-KL terms are undefined without a ceiling: the labels alone (y = 1 everywhere) are no f*."
    interval = slack.interval()
    numbers = f"slack {value_with(slack, 4)}"
    if interval is None or interval[0] <= 0 <= interval[1]:
        return f"KL(f*|s) <= KL(f*|w) - KL(s|w) is not resolved: {numbers}."
    return f"KL(f*|s) <= KL(f*|w) - KL(s|w) {'holds' if interval[0] > 0 else 'is violated'}: {numbers}."


def seeds_notes(seeds: Sequence[int], broadcast: Any) -> list[str]:
    """Why a part over seeds is missing, or what it rests on."""
    if len(seeds) == 1:
        return ["Variance over seeds is undefined with one seed."]
    notes = [f"Model {m!r} has one seed: its variance over seeds is undefined." for m in sorted(broadcast)]
    if len(seeds) < 5:
        notes.append(f"Variance over seeds rests on {len(seeds)} seeds.")
    return notes
