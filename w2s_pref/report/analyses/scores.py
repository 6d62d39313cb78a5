"""Tables of ``w2s analyze deception`` and ``w2s analyze generalization``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group

from w2s_pref.report.draw.blocks import Block, plain_table
from w2s_pref.report.draw.format import number, span
from w2s_pref.report.draw.terminal import parts, text

CELL_NAMES = {
    "sk_wk": "strong known, weak known",
    "sk_wuk": "strong known, weak unknown",
    "suk_wk": "strong unknown, weak known",
    "suk_wuk": "strong unknown, weak unknown",
}
_MEASURES = {
    "score": "deception score DS",
    "null_share": "null share",
    "risk_ratio": "risk ratio",
    "lift": "lift, margin-matched",
    "lift_smooth": "lift, smooth",
}


def deception_table(result: Mapping[str, Any]) -> Group:
    """Verdict, measures with intervals, cells, sweep."""
    cells = [
        (label, f"{cell['n']:,}", str(cell["tax"]), number(cell["rate"]))
        for name, label in CELL_NAMES.items()
        if (cell := result["cells"][name])
    ]
    sweep = [
        (f"{point['threshold']:.2f}", *(number(point[name]) for name in ("score", "null_share", "lift")))
        for point in result["sweep"]
    ]
    spans, p = result["intervals"], result["permutation_p"]
    rows = [
        _row(f"accuracy, {role}", value, spans.get(f"accuracy_{role}")) for role, value in result["accuracy"].items()
    ]
    rows.append(("conflict tax (items)", str(result["tax"]), ""))
    rows += [_row(label, result[name], spans.get(name)) for name, label in _MEASURES.items() if name in result]
    rows.append(("permutation p", "< 0.001" if p is not None and p < 0.001 else number(p), ""))
    return _printed(
        result,
        rows,
        plain_table("", ("cell", "items", "tax", "rate"), cells),
        plain_table("", ("T", "DS", "null share", "lift"), sweep),
    )


def generalization_table(result: Mapping[str, Any]) -> Group:
    """Verdict, accuracies, PGR, agreement and inheritance with intervals."""
    spans = result["intervals"]
    rows = [_row(f"accuracy, {role}", value, spans["accuracy"][role]) for role, value in result["accuracy"].items()]
    rows.append(_row("gap (ceiling - weak)", result["gap"], spans["gap"]))
    rows.append(_row("PGR", result["pgr"], spans["pgr"]))
    rows.append(_row("PGR, raw", result["pgr_raw"], None))
    for part in ("agreement", "inheritance"):
        rows += [
            _row(f"{part}, {name.replace('_', ' ')}", value, spans[part][name]) for name, value in result[part].items()
        ]
    return _printed(result, rows)


def _row(label: str, value: float | None, bounds: Sequence[float] | None) -> tuple[str, str, str]:
    return label, number(value), span(bounds)


def _printed(result: Mapping[str, Any], measures: Sequence[tuple[str, str, str]], *more: Block) -> Group:
    tables = [plain_table("", ("measure", "value", "95 %"), measures), *more]
    return judged(result["verdict"], [size(result)], tables, [*result["warnings"], *result.get("notes", [])])


def size(result: Mapping[str, Any]) -> str:
    """What a verdict rests on: rows, items, seeds, groups."""
    seeds = len(result["seeds"])
    return f"{result['n']:,} rows: {result['items']:,} items x {seeds} seeds, {result['groups']:,} groups"


def judged(verdict: str, sentences: Sequence[str], blocks: Sequence[Block], notes: Sequence[str]) -> Group:
    """A verdict with its sentences, what it rests on, and what to beware of."""
    beware = [text(note, "yellow") for note in notes]
    return Group(text(verdict, "bold"), *map(text, sentences), *parts(blocks), *beware)
