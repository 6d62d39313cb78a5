"""Paired differences between two arms: a forest plot laid out as a table, one row a conflict, one group a metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from w2s_pref.report.draw.blocks import Block, Column, Content, Guide, Points, Section, Strip, Table, Value, Where
from w2s_pref.report.draw.format import number
from w2s_pref.report.draw.plot import Range, spread
from w2s_pref.report.students import BY_KEY
from w2s_pref.report.verdicts import p_cell
from w2s_pref.results.preferences import Comparison, Results

GUIDE: Final = Guide(
    "Second arm minus first, on the same items and seeds; right of the dashed zero the second arm is higher. Each "
    "metric has its own scale, named in its heading. The no-conflict row counts tax against the ceiling, having no "
    "other reference. p is one-sided; resolved where p, adjusted for the number of all comparisons of the study "
    "(Holm), is at most .025. Found from: the smallest true difference that 80 % of such studies would find "
    "after the same correction; none where no difference would be.",
    "Bootstrapping helps when accuracy and PGR lie right of zero without deception score or lift doing the same.",
)
WIDTH: Final = 260.0


@dataclass(frozen=True)
class Difference:
    """One comparison, and the scale of its metric: symmetric about zero, none where nothing is defined."""

    found: Comparison
    scale: Range | None

    def drawn(self) -> Content:
        """The difference as a picture."""
        found, metric = self.found, BY_KEY[self.found.metric]
        if self.scale is None or found.difference.estimate is None:
            return Value("nothing to draw", tone="missing")
        name = f"{metric.title}, {found.conflict}, {found.second} minus {found.first}"
        return Strip(found.difference, self.scale, metric.digits, name, 0.0, WIDTH)

    def least(self) -> Value:
        """The smallest true difference that would have been found."""
        least = self.found.smallest_found
        if least is None:
            return Value("none", tone="missing")
        return Value(f"± {number(least, BY_KEY[self.found.metric].digits)}", tone="number")


def section(results: Results) -> Section | None:
    """A table for every pair of arms that was compared."""
    pairs = list(dict.fromkeys((comparison.first, comparison.second) for comparison in results.comparisons))
    blocks: list[Block] = [
        forest(results, first, second, where) for first, second in pairs for where in ("page", "terminal")
    ]
    alone = unpaired(results)
    if alone:
        blocks.append(Points(alone))
    return Section("paired", "Arm against arm, paired", blocks, "Paired differences") if blocks else None


def unpaired(results: Results) -> list[str]:
    """Why an arm is in no paired table: one sentence for each such arm of a study with several."""
    paired = {name for comparison in results.comparisons for name in (comparison.first, comparison.second)}
    if len(results.arms) < 2:
        return []
    return [
        f"{arm.name} is not here: arms are paired where they begin with the same weak model and end with the same "
        f"strong one, and no other arm goes from {arm.chain[0]} to {arm.chain[-1]}."
        for arm in results.arms
        if arm.name not in paired
    ]


def forest(results: Results, first: str, second: str, where: Where) -> Table[Difference]:
    """All comparisons of one pair of arms; on the page the headings name the scales of the pictures."""
    mine = [c for c in results.comparisons if (c.first, c.second) == (first, second)]
    groups = []
    for key in dict.fromkeys(comparison.metric for comparison in mine):
        members = [comparison for comparison in mine if comparison.metric == key]
        ends = spread((c.difference for c in members), 0.0)
        scale = ends and (-max(map(abs, ends)), max(map(abs, ends)))  # symmetric about zero
        title = BY_KEY[key].title
        if scale and where == "page":
            title += f": scale {' … '.join(number(end, BY_KEY[key].digits) for end in scale)}"
        groups.append((title, [Difference(comparison, scale) for comparison in members]))
    known = any(comparison.p_adjusted is not None for comparison in mine)
    name = f"{second} minus {first}"
    columns: list[Column[Difference]] = [
        Column("Conflict", lambda row: row.found.conflict),
        Column(name, lambda row: row.drawn(), words=True, where="page"),
        Column("Difference", lambda row: Value(row.found.difference, digits=BY_KEY[row.found.metric].digits)),
        *([Column("p", lambda row: p_cell(row.found.p), where="page")] if known else []),
        *([Column("p, adjusted", lambda row: p_cell(row.found.p_adjusted), short="p adj.")] if known else []),
        *([Column("Found from", lambda row: row.least())] if known else []),
        Column("Verdict", lambda row: Value(row.found.verdict, tone="verdict"), words=True),
    ]
    caption = f"{name}, paired by item and seed."
    return Table(caption, columns, groups, GUIDE, stack=True, title=f"{name}, paired", where=where)
