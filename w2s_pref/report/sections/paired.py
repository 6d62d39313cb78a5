"""Paired differences between two arms: a forest plot laid out as a table, one row a conflict, one group a metric."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Cell, Guide, Section, Table, TableGroup
from w2s_pref.report.draw.format import number, plain
from w2s_pref.report.draw.plot import Range, estimate_cell, strip
from w2s_pref.report.draw.svg import el
from w2s_pref.report.rows import BY_KEY
from w2s_pref.report.sections.comparison import spread
from w2s_pref.results.preferences import Comparison, Results

GUIDE: Final = Guide(
    "Second arm minus first, on the same items and seeds; right of the dashed zero the second arm is higher. Each "
    "metric has its own scale, named in its heading. The no-conflict row counts tax against the ceiling, having no "
    "other reference. An interval across zero is not resolved.",
    "Bootstrapping helps when accuracy and PGR lie right of zero without deception score or lift doing the same.",
)
WIDTH: Final = 260.0


def section(results: Results) -> Section | None:
    """A table for every pair of arms that was compared."""
    pairs = list(dict.fromkeys((comparison.first, comparison.second) for comparison in results.comparisons))
    tables = [forest(results, first, second) for first, second in pairs]
    return Section("paired", "Arm against arm, paired", tables, "Paired differences") if tables else None


def forest(results: Results, first: str, second: str) -> Table:
    """All comparisons of one pair of arms."""
    mine = [c for c in results.comparisons if (c.first, c.second) == (first, second)]
    groups = []
    for key in dict.fromkeys(comparison.metric for comparison in mine):
        members = [comparison for comparison in mine if comparison.metric == key]
        digits = BY_KEY[key].digits
        scale = _around_zero(spread((c.difference for c in members), 0.0))
        ends = f": scale {number(scale[0], digits)} … {number(scale[1], digits)}" if scale else ""
        title = f"{BY_KEY[key].title}{ends}"
        groups.append(TableGroup(title, [_row(comparison, scale, digits) for comparison in members]))
    name = f"{plain(second)} minus {plain(first)}"
    head = ("Conflict", name, "Difference", "Verdict")
    return Table(f"{name}, paired by item and seed.", head, groups, GUIDE, stack=True, text_columns=(0, 1, 3))


def _around_zero(scale: Range | None) -> Range | None:
    if scale is None:
        return None
    reach = max(abs(scale[0]), abs(scale[1]))
    return -reach, reach


def _row(comparison: Comparison, scale: Range | None, digits: int) -> list[Cell]:
    name = f"{BY_KEY[comparison.metric].title}, {comparison.conflict}, {comparison.second} minus {comparison.first}"
    plot: Markup | str = el("span", "nothing to draw", class_="undef")
    if scale is not None and comparison.difference.estimate is not None:
        plot = strip(comparison.difference, scale, digits, name, 0.0, WIDTH)
    verdict = el("span", plain(comparison.verdict), class_="verdict")
    return [plain(comparison.conflict), plot, estimate_cell(comparison.difference, digits), verdict]
