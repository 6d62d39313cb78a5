"""Risk results in words: what was found, and what a reader must be told first; "undefined" is an answer, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from w2s_pref.analysis.risk.blind_spot import EDGE, confidence, uncertain
from w2s_pref.analysis.scores.panel import Panel
from w2s_pref.analysis.stats import families
from w2s_pref.analysis.stats.seeds import reading, side
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Floats

#: Below this many items an interval means little.
FEW_ITEMS = 30
#: A two-sided p value, after Holm's correction, at or below which a signal is said to go with BSD: the one-sided .025
#: of every family of verdicts, on the side on which the correlation lies.
LEVEL = 2 * families.LEVEL
AFTER_ONLY = "calibrated only"
SURVIVES = "survives calibration"
RAW_ONLY = "raw only"
TURNS = "turns its sign"


def deception_verdict(blind: dict[str, Stat]) -> str:
    """How large BSD is, and whether confident errors are more frequent where the weak model is uncertain."""
    excess = blind["excess"]
    if excess.value != excess.value:
        empty = blind["bsd_cond"].value != blind["bsd_cond"].value
        why = "the blind spot is empty" if empty else "every item is in the blind spot"
        return f"BSD {reading(blind['bsd'])}; {'BSD_cond' if empty else 'a comparison'} is undefined: {why}."
    head = f"BSD {reading(blind['bsd'])}. Confident strong errors are "
    numbers = (
        f"{blind['bsd_cond'].value:.3f} inside, {blind['elsewhere'].value:.3f} outside, difference {reading(excess)}"
    )
    if excess.interval() is None:
        return f"{head}not compared inside and outside the blind spot: undefined ({numbers})."
    way, here = side(excess.interval()), side(excess.in_seeds())
    if not way and here:
        more = "more" if here > 0 else "less"
        return f"{head}{more} frequent inside the blind spot in these seeds, not resolved over seeds ({numbers})."
    if not way:
        return f"{head}not distinguishably more or less frequent inside the blind spot: not resolved ({numbers})."
    if way > 0:
        return f"{head}more frequent inside the blind spot ({numbers}); items hard for both models give this as well."
    return f"{head}less frequent inside the blind spot ({numbers})."


def verdicts(
    moments: dict[str, Stat],
    blind: dict[str, Stat],
    calibrated_bsd: Stat | None,
    temperature: float | None,
    kl: dict[str, Stat] | None,
) -> list[str]:
    """On Charikar's bound, on calibration and on the reverse-KL inequality, one sentence each."""
    return [
        bound_verdict(moments["residual"]),
        calibration_verdict(blind["bsd"], calibrated_bsd, temperature),
        kl_verdict(None if kl is None else kl["slack"]),
    ]


def bound_verdict(residual: Stat) -> str:
    """Whether the strong risk is below R_w - M, decided by the sign of the Pythagorean residual."""
    interval = residual.interval()
    found = _inequality(None if interval is None else (-interval[1], -interval[0]))
    return f"Charikar's bound R_s <= R_w - M {found}: the residual is {reading(residual, 4)}."


def _inequality(slack: tuple[float, float] | None) -> str:
    """Of an interval of what is left over: an inequality that is not strict holds where nothing is."""
    if slack is None:
        return "is undefined"
    if slack[0] < 0 <= slack[1]:
        return "is not resolved"
    return "holds" if slack[0] >= 0 else "is violated"


def calibration_verdict(raw: Stat, calibrated: Stat | None, temperature: float | None) -> str:
    """What is left of BSD after the strong model's logit scale is taken out."""
    if calibrated is None or temperature is None:
        return "Calibrated BSD is undefined: a single group leaves no other half to fit a temperature on."
    change = calibrated - raw
    numbers = (
        f"{raw.value:.3f} raw, {calibrated.value:.3f} calibrated, difference {reading(change)}; strong temperature "
        f"{temperature:.2f}"
    )
    if change.interval() is None:
        return f"Whether calibration changes BSD is undefined ({numbers})."
    if not side(change.interval()):
        return f"Calibration does not change BSD distinguishably ({numbers})."
    way = "lowers" if change.value < 0 else "raises"
    return f"Calibration {way} BSD ({numbers}): that part is about logit scale."


def kl_verdict(slack: Stat | None) -> str:
    """The reverse-KL inequality."""
    if slack is None:
        return "Reverse-KL terms are undefined without a ceiling: the labels alone (y = 1 everywhere) are no f*."
    found = _inequality(slack.interval())
    return f"KL(f*|s) <= KL(f*|w) - KL(s|w) {found}: slack {reading(slack, 4)}."


def seeds_notes(seeds: Sequence[int], broadcast: Any) -> list[str]:
    """Why a part over seeds is missing, or what it rests on."""
    if len(seeds) == 1:
        return ["Variance over seeds is undefined with one seed."]
    notes = [f"Model {m!r} has one seed: its variance over seeds is undefined." for m in sorted(broadcast)]
    if len(seeds) < 5:
        notes.append(f"Variance over seeds rests on {len(seeds)} seeds.")
    return notes


def cautions(data: Panel, weak: str, strong: str, t_strong: float, t_weak: float) -> list[str]:
    """Sentences on the size of the table, constant models, and confidences on one side of a threshold only."""
    p_weak, p_strong = data.p(weak), data.p(strong)
    return [
        *_size(data),
        *_constant({weak: p_weak, strong: p_strong}),
        *_one_class_weak(weak, p_weak, t_weak),
        *_one_class_strong(strong, p_strong, t_strong),
    ]


def _size(data: Panel) -> list[str]:
    groups = int(data.groups.max()) + 1
    found = []
    if data.size < FEW_ITEMS:
        found.append(f"Only {data.size} items: intervals mean little below {FEW_ITEMS}.")
    if groups == 1:
        found.append("All items are of one group: nothing can be resampled, so there are no intervals.")
    return found


def _constant(models: dict[str, Floats]) -> list[str]:
    same = [name for name, p in models.items() if np.ptp(p) == 0]
    return [
        f"Model {name!r} gives every item the same probability: its variance is 0 and its correlation undefined."
        for name in same
    ]


def _one_class_weak(name: str, p: Floats, threshold: float) -> list[str]:
    unsure = uncertain(p, threshold)
    if not unsure.any():
        return [
            f"The weak model {name!r} is never uncertain (no confidence at or below {threshold:g}): the blind spot is "
            "empty, so BSD is 0 by construction and BSD_cond undefined."
        ]
    if unsure.all():
        return [
            f"The weak model {name!r} is always uncertain (no confidence above {threshold:g}): every confident strong "
            "error falls into the blind spot, whatever the strong model does."
        ]
    return []


def _one_class_strong(name: str, p: Floats, threshold: float) -> list[str]:
    if (confidence(p) >= threshold - EDGE).any():
        return []
    return [f"The strong model {name!r} is never confident (no confidence from {threshold:g} up): BSD is 0 for that."]


def signal_verdict(raw: Mapping[str, Any], calibrated: Mapping[str, Any]) -> str:
    """One signal, by its p after Holm's correction over the signals, raw and calibrated."""
    before, after = _resolved(raw), _resolved(calibrated)
    if raw["rho"] is None and calibrated["rho"] is None:
        return "undefined"
    if before and after:
        same = (raw["rho"] > 0) == (calibrated["rho"] > 0)
        return SURVIVES if same else TURNS
    if before:
        return RAW_ONLY
    return AFTER_ONLY if after else "not resolved"


def predictor_headline(signals: Sequence[Mapping[str, Any]], labels: Mapping[str, str], tests: int) -> str:
    """Which signals go with BSD, if any; ``tests``: how many of them vary, which Holm's correction goes over."""
    named: dict[str, list[str]] = {}
    for entry in signals:
        named.setdefault(entry["verdict"], []).append(labels[entry["signal"]])
    raw, after = (", ".join(named.get(kind, [])) for kind in (RAW_ONLY, AFTER_ONLY))
    turned = f" Turns its sign with calibration: {', '.join(named[TURNS])}." if TURNS in named else ""
    if SURVIVES in named:
        return f"Correlated with BSD, raw and after calibration: {', '.join(named[SURVIVES])}.{turned}"
    if set(named) == {"undefined"}:
        return "Undefined: BSD or every signal is constant over the settings, or there are fewer than three settings."
    if raw and after:
        return f"Correlated with BSD raw only: {raw}; after calibration only: {after}.{turned}"
    if raw:
        return f"Not resolved after calibration. Correlated with BSD raw only: {raw}.{turned}"
    if after:
        return f"Not resolved raw. Correlated with BSD after calibration only: {after}.{turned}"
    if turned:
        return f"Correlated with BSD raw and after calibration, but not alike.{turned}"
    return f"Not resolved: no signal is correlated with BSD after Holm's correction over {_signals(tests)}."


def predictor_sentences(
    support: Mapping[str, Any], points: int, tests: int, signals: Sequence[Mapping[str, Any]]
) -> list[str]:
    """How many independent settings there are and what that number supports."""
    n = support["settings"]
    found = [
        f"{n} independent settings, {points} points (settings x seeds x checkpoints). Points of one setting are not "
        "independent: p values use one mean for each setting, intervals resample settings."
    ]
    if n < 3:
        return [*found, "Fewer than 3 settings: no rank correlation."]
    found.append(_reach(support, tests))
    if support["interval_at_0"] is not None:
        (low, high), (least, most) = support["interval_at_0.9"], support["interval_at_0"]
        found.append(
            f"At this number a rho of .90 has 95 % limits of about {low:.2f} and {high:.2f}, a rho of 0 of "
            f"{least:.2f} and {most:.2f}."
        )
    widths = [s["raw"]["interval"][1] - s["raw"]["interval"][0] for s in signals if s["raw"]["interval"] is not None]
    if widths:
        found.append(f"The bootstrap intervals here are {median(widths):.2f} wide (median over signals, raw).")
    if widths and min(widths) == 0:
        found.append("A perfect rank correlation cannot vary under resampling: its interval of no width shows nothing.")
    return [*found, "The confident-error rate contains BSD: the two go together by construction."]


def _signals(tests: int) -> str:
    return f"{tests} signal{'s' * (tests != 1)}"


def _reach(support: Mapping[str, Any], tests: int) -> str:
    n, p, rho, strict = (support[k] for k in ("settings", "smallest_p", "critical_rho", "critical_rho_holm"))
    head = f"With {n} settings the smallest reachable two-sided p is {p:.2g}"
    if rho is None:
        return f"{head}: p <= .05 cannot be reached, whatever the data."
    one = f"{head}; p <= .05 needs |rho| of at least {rho:.2f}"
    if strict is None:
        return f"{one}, and no |rho| is enough for the first of {_signals(tests)} after Holm's correction."
    return f"{one}, and {strict:.2f} for the first of {_signals(tests)} after Holm's correction."


def _resolved(entry: Mapping[str, Any]) -> bool:
    return entry["p_holm"] is not None and entry["p_holm"] <= LEVEL
