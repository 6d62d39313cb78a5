"""Tables of ``w2s analyze risk`` and ``w2s analyze predictors``, and the figure of the latter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from rich.console import Group

from w2s_pref.report.analyses.scores import along, judged, size
from w2s_pref.report.draw.blocks import Prose, Table, plain_table
from w2s_pref.report.draw.format import number, span
from w2s_pref.report.draw.plot import Chart, Forest, Mark, moved, standalone
from w2s_pref.report.draw.svg import colour, el, extent, marker, shape
from w2s_pref.report.readings import reading
from w2s_pref.report.verdicts import bound as bound_words
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.risk import SIGNALS, TARGET

_MEASURES = {
    "mean_weak": "mean p, weak",
    "mean_strong": "mean p, strong",
    "bias_weak": "bias (mean - 1), weak",
    "bias_strong": "bias (mean - 1), strong",
    "var_weak": "variance, weak",
    "var_strong": "variance, strong",
    "cov": "covariance",
    "correlation": "correlation",
    "misfit": "misfit M",
    "risk_weak": "risk R_w",
    "risk_strong": "risk R_s",
    "residual": "residual E(s-w)(s-1)",
    "bsd": "BSD",
    "bsd_cond": "BSD_cond",
    "elsewhere": "confident errors elsewhere",
    "excess": "BSD_cond - elsewhere",
    "bsd_soft": "BSD, soft",
    "confident_errors": "confident strong errors",
    "blind_spot_share": "share of the blind spot",
}
_OWNERS = {
    "inherited": "inherited (weak confidently wrong)",
    "blind_spot": "blind spot (weak uncertain)",
    "strong_only": "strong only (weak confidently right)",
}
_KL = {"kl_target_strong": "KL(f*|s)", "kl_target_weak": "KL(f*|w)", "kl_strong_weak": "KL(s|w)", "slack": "slack"}
_BOUNDS = {"triangle": "2 R_w + 2 M", "minkowski": "(sqrt R_w + sqrt M)^2", "charikar": "R_w - M"}


def risk_table(result: Mapping[str, Any]) -> Group:
    """Verdicts, measures raw and calibrated, bounds, whose errors, the grid, seeds, reverse KL."""
    blocks = [_measures(result), _bounds(result), _inheritance(result), *_grids(result)]
    if result["over_seeds"] is not None:
        parts = ("total", "within", "across")
        over = result["over_seeds"].items()
        rows = [(_MEASURES[name], *(number(part[key], 4) for key in parts)) for name, part in over]
        blocks.append(plain_table("", ("over seeds", "total", "within items", "across items"), rows))
    if result["reverse_kl"] is not None:
        terms = [(label, _number(result["reverse_kl"], (name,))) for name, label in _KL.items()]
        blocks.append(plain_table("", ("reverse KL, nats", "value"), terms, numbers=True))
    said = [*result["sentences"], reading(len(result["seeds"]), "groups"), size(result)]
    return judged(result["verdict"], said, blocks, [*result["warnings"], *result["notes"]])


def predictor_table(result: Mapping[str, Any]) -> Group:
    """Verdict, one row a signal raw and calibrated, how robust it is, what the number of settings supports."""
    blocks = [_correlations(result), _robustness(result), Prose(result["sentences"])]
    return judged(result["verdict"], [], blocks, result["warnings"])


def _correlations(result: Mapping[str, Any]) -> Table[Any]:
    """Over settings, with the p after Holm's correction."""
    heads = ("rho with BSD", "raw", "95 %", "p (Holm)", "calibrated", "95 %", "p (Holm)", "verdict")
    rows = [
        (SIGNALS[entry["signal"]], *_rho(entry["raw"]), *_rho(entry["calibrated"]), entry["verdict"])
        for entry in result["signals"]
    ]
    return plain_table("", heads, rows)


def _rho(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    p = entry["p_holm"]
    return number(entry["rho"], 2), span(entry["interval"], 2), "-" if p is None else f"{p:.2g}"


def _robustness(result: Mapping[str, Any]) -> Table[Any]:
    """Over points, with a third signal held constant, and with parts of the study left out."""
    left = list(result["signals"][0]["raw"]["leave_out"])
    heads = ("over points", "given mean conf.", "given logit scale", *(f"one {name} left out" for name in left))
    rows = []
    for entry in result["signals"]:
        both = (entry["raw"], entry["calibrated"])
        cells = [" | ".join(_known(kind["rho_points"]) for kind in both)]
        for name in ("partial_confidence", "partial_scale"):
            cells.append(" | ".join(_known(kind[name]["rho"]) for kind in both))
        rows.append((SIGNALS[entry["signal"]], *cells, *(_range(entry["raw"]["leave_out"][name]) for name in left)))
    return plain_table("", ("rho, raw | calibrated", *heads), rows)


def _known(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else number(value, digits)


def _range(values: Mapping[str, float | None]) -> str:
    """Least and greatest rho over everything that was left out in turn."""
    found = [value for value in values.values() if value is not None]
    return span((min(found), max(found)), 2) if found else "-"


def _measures(result: Mapping[str, Any]) -> Table[Any]:
    paths: list[tuple[str, tuple[str, ...]]] = [(label, (name,)) for name, label in _MEASURES.items()]
    paths += [(f"{_MEASURES[name]}, random order", ("random_orientation", name)) for name in ("var_strong", "cov")]
    rows = [(label, _number(result, path), _number(result["calibrated"], path)) for label, path in paths]
    return plain_table("", ("measure", "value", "calibrated"), rows, numbers=True)


def _number(result: Mapping[str, Any] | None, path: Sequence[str], at: Sequence[str] = ()) -> Estimate:
    """A value with both readings of its interval, which stand at the same path (or at ``at``)."""
    if result is None:
        return Estimate(estimate=None)
    value: Any = result
    for key in path:
        value = value[key]
    bounds, inner = (along(result.get(name), at or path) for name in ("intervals", "intervals_in_seeds"))
    return Estimate(estimate=value, interval=bounds, interval_in_seeds=inner)


def _bounds(result: Mapping[str, Any]) -> Table[Any]:
    rows = []
    for name, label in _BOUNDS.items():
        bound, slack = result["bounds"][name], _number(result, ("bounds", name, "slack"), ("bounds", name))
        rows.append((f"{name}: {label}", number(bound["value"]), slack, bound_words(slack)))
    return plain_table("", ("bound on R_s", "value", "slack", "verdict"), rows, numbers=True)


def _inheritance(result: Mapping[str, Any]) -> Table[Any]:
    rows = []
    for name, label in _OWNERS.items():
        share = _number(result, ("inheritance", name, "share"), ("inheritance", name))
        rows.append((label, f"{result['inheritance'][name]['count']:,}", share))
    return plain_table("", ("confident strong errors", "rows", "share"), rows, numbers=True)


def _grids(result: Mapping[str, Any]) -> list[Table[Any]]:
    """BSD and BSD_cond for every pair of thresholds."""
    strong = list(dict.fromkeys(cell["ts"] for cell in result["grid"]))
    weak = list(dict.fromkeys(cell["tw"] for cell in result["grid"]))
    tables = []
    for name, label in (("bsd", "BSD"), ("bsd_cond", "BSD_cond")):
        cells = {(cell["tw"], cell["ts"]): cell[name] for cell in result["grid"]}
        rows = [(f"t_w {at:.2f}", *(_known(cells[at, t], 3) for t in strong)) for at in weak]
        tables.append(plain_table("", (f"{label}, t_s:", *(f"{t:.2f}" for t in strong)), rows))
    return tables


_WIDTH, _HEIGHT, _HEAD, _KEYS = 340, 250, 26, 4
KINDS = ("raw", "calibrated")
#: The signal of the scatters.
_ACROSS = "var_strong"


def _scatter(points: Sequence[Mapping[str, Any]], settings: Sequence[str], kind: str) -> Chart:
    """Var of the strong model against BSD, a mark for each setting, step and seed; ``kind`` is raw or calibrated.

    The ranges hold both kinds, so that two figures side by side show what calibration moves.
    """
    ranges = [extent((p[k][name] for p in points for k in KINDS), include=(0.0,)) for name in (_ACROSS, TARGET)]
    chart = Chart(ranges[0], ranges[1], SIGNALS[_ACROSS], "BSD", _WIDTH, _HEIGHT, left=52)
    for point in points:
        x, y = point[kind][_ACROSS], point[kind][TARGET]
        if x is not None and y is not None:
            name = str(point["setting"])
            tip = f"{name}, step {point['step']}, seed {point['seed']}"
            chart.mark(shape(settings, name), x, y, f"fill {colour(settings, name)}", tip)
    return chart


def _key(settings: Sequence[str]) -> list[Markup]:
    """The settings with their marks, a few to a row."""
    drawn = []
    step = 2 * _WIDTH / _KEYS
    for place, name in enumerate(settings):
        x, y = place % _KEYS * step + 20, place // _KEYS * 18.0 + 8
        drawn.append(marker(shape(settings, name), x, y, f"fill {colour(settings, name)}"))
        drawn.append(el("text", name[:24], x=x + 10, y=y + 4, class_="tick"))
    return drawn


def _forest(signals: Sequence[Mapping[str, Any]]) -> Forest:
    """Rank correlation of each signal with BSD and its 95 % interval: a disc raw, a ring calibrated."""
    rows = [
        (
            SIGNALS[entry["signal"]],
            [
                Mark(entry["raw"]["rho"], entry["raw"]["interval"], apart=-4),
                Mark(entry["calibrated"]["rho"], entry["calibrated"]["interval"], hue="c1", look="stroke", apart=5),
            ],
        )
        for entry in signals
    ]
    caption = "rank correlation with BSD over settings, 95 % (disc: raw, ring: calibrated)"
    return Forest(rows, (-1.0, 1.0), caption, 0.0, 2 * _WIDTH, names=130, row=24, marks_at=(-1.0, -0.5, 0.0, 0.5, 1.0))


def predictor_figure(result: Mapping[str, Any]) -> str:
    """A file of its own: the two scatters above the forest, with the report's colours in both schemes."""
    settings = list(result["settings"])
    drawn = []
    for place, kind in enumerate(KINDS):
        chart = _scatter(result["points"], settings, kind)
        title = el("text", f"{SIGNALS[_ACROSS]} and blind-spot deception, {kind}", x=52, y=-8)
        drawn.append(moved(place * _WIDTH, _HEAD, [title, *chart.axes(), *chart.marks]))
    low = _HEIGHT + _HEAD + 14
    drawn.append(moved(0, low, _key(settings)))
    low += 18 * -(-len(settings) // _KEYS) + 18
    rows = _forest(result["signals"])
    drawn.append(moved(0, low, rows.draw()))
    return standalone(
        "What goes with blind-spot deception", str(result["verdict"]), 2 * _WIDTH, low + rows.bottom + 50, drawn
    )
