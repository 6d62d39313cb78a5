"""Tables of ``w2s analyze deception`` and ``w2s analyze generalization``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group

from w2s_pref.report.draw.blocks import Block, Prose, Table, plain_table
from w2s_pref.report.draw.format import number, p_value, span
from w2s_pref.report.draw.terminal import parts, text
from w2s_pref.report.readings import reading
from w2s_pref.report.verdicts import GATES
from w2s_pref.report.verdicts import found as found_words
from w2s_pref.results.deception import Gates, Sensitivity

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
    "lift_smooth": "lift",
    "lift": "binned lift",
}
#: A line of a table: what, its value, the interval that leads, the one in these seeds.
Line = tuple[str, ...]


def deception_table(result: Mapping[str, Any]) -> Group:
    """Verdict, gates, what could have been found, measures with both readings, cells, sweep."""
    cells = [
        (label, f"{cell['n']:,}", str(cell["tax"]), number(cell["rate"]))
        for name, label in CELL_NAMES.items()
        if (cell := result["cells"][name])
    ]
    sweep = [
        (f"{point['threshold']:.2f}", *(number(point[name]) for name in ("score", "null_share", "lift")))
        for point in result["sweep"]
    ]
    rows = [_row(result, f"accuracy, {role}", value, f"accuracy_{role}") for role, value in result["accuracy"].items()]
    rows.append(("conflict tax (rows)", str(result["tax"]), "", ""))
    rows += [_row(result, label, result[name], name) for name, label in _MEASURES.items() if name in result]
    rows.append(("permutation p", p_value(result["permutation_p"]), "", ""))
    return _printed(
        result,
        rows,
        gate_table(result),
        *detection(result),
        plain_table("", ("cell", "rows", "tax", "rate"), cells),
        plain_table("", ("T", "DS", "null share", "binned lift"), sweep),
    )


def gate_table(result: Mapping[str, Any]) -> Table[Any]:
    """The three gates: ratio, both readings, p, whether the lower limit exceeds 1."""
    found, rows = result["gates"], []
    failed = Gates.model_validate(found).failed()
    for name, head in GATES.items():
        gate, label = found[name], head.lower()
        if gate is None:
            rows.append((label, "missing", "", "", "", "no"))
            continue
        passed = "no" if name in failed else "yes"
        both = span(gate["interval"]), span(gate["interval_in_seeds"])
        rows.append((label, number(gate["lift"]), *both, p_value(gate["p"]), passed))
    if found["overlap"] is not None:
        rows.append(("overlap", number(found["overlap"], 2), "", "", "", ""))
    return plain_table("", ("gate", "ratio", *_readings(result), "p", "above 1"), _shown(result, rows))


def detection(result: Mapping[str, Any]) -> list[Block]:
    """Why there is no placebo gate, and what could have been found, where it was asked."""
    why = result["gates"]["missing"]
    missing: list[Block] = [] if why is None else [Prose([f"No placebo gate: {why[:1].lower()}{why[1:]}"])]
    asked = result.get("sensitivity")
    if asked is None:
        return missing
    curve = [(f"{point['rho']:.2f}", f"{100 * point['power']:.0f} %") for point in asked["curve"]]
    said = found_words(Sensitivity.model_validate(asked))
    return [*missing, Prose([f"Sensitivity: {said}."]), plain_table("", ("planted rho", "found"), curve)]


def generalization_table(result: Mapping[str, Any]) -> Group:
    """Verdict, accuracies, PGR, agreement and inheritance with both readings."""
    rows = [_row(result, f"accuracy, {role}", value, "accuracy", role) for role, value in result["accuracy"].items()]
    rows.append(_row(result, "gap (ceiling - weak)", result["gap"], "gap"))
    rows.append(_row(result, "PGR", result["pgr"], "pgr"))
    rows.append(("PGR, raw", number(result["pgr_raw"]), "", ""))
    for part in ("agreement", "inheritance"):
        rows += [
            _row(result, f"{part}, {name.replace('_', ' ')}", value, part, name) for name, value in result[part].items()
        ]
    return _printed(result, rows)


def _row(result: Mapping[str, Any], label: str, value: float | None, *path: str) -> Line:
    return label, number(value), *(span(along(result.get(key), path)) for key in ("intervals", "intervals_in_seeds"))


def along(found: Any, path: Sequence[str]) -> Sequence[float] | None:
    """What stands at a path of keys; none where a part is missing."""
    for name in path:
        found = None if found is None else found.get(name)
    bounds: Sequence[float] | None = found
    return bounds


def _readings(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Headings of the intervals: one in one seed, else the one that leads and the one in these seeds."""
    seeds = len(result["seeds"])
    return ("95 % in this seed",) if seeds == 1 else (f"95 % over {seeds} seeds", "in these seeds")


def _shown(result: Mapping[str, Any], rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Rows without the second reading where there is one seed."""
    return [(*row[:3], *row[4:]) if len(result["seeds"]) == 1 else row for row in rows]


def _printed(result: Mapping[str, Any], measures: Sequence[Line], *more: Block) -> Group:
    tables = [plain_table("", ("measure", "value", *_readings(result)), _shown(result, measures)), *more]
    notes = [*result["warnings"], *result.get("notes", [])]
    said = reading(len(result["seeds"]), "groups", "The one over seeds", "The one in these seeds")
    return judged(result["verdict"], [said, size(result)], tables, notes)


def size(result: Mapping[str, Any]) -> str:
    """What a verdict rests on: rows, items, seeds, groups."""
    seeds = len(result["seeds"])
    return f"{result['n']:,} rows: {result['items']:,} items x {seeds} seeds, {result['groups']:,} groups"


def judged(verdict: str, sentences: Sequence[str], blocks: Sequence[Block], notes: Sequence[str]) -> Group:
    """A verdict with its sentences, what it rests on, and what to beware of."""
    beware = [text(note, "yellow") for note in notes]
    return Group(text(verdict, "bold"), *map(text, sentences), *parts(blocks), *beware)
