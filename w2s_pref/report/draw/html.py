"""Blocks as HTML: templates, cells, and writing a page whole. No script, no network, no number of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from w2s_pref.core.files import replacing
from w2s_pref.report.draw.blocks import Column, Content, Strip, Table, Tone, Value
from w2s_pref.report.draw.format import NO_INTERVAL, UNDEFINED, interval, number, plain, reason, second
from w2s_pref.report.draw.plot import Range, spread, strip
from w2s_pref.report.draw.svg import el
from w2s_pref.results.estimates import Estimate

#: Element and class of words in a cell.
TONES: Final[dict[Tone, tuple[str, str | None]]] = {
    "missing": ("span", "undef"),
    "number": ("span", "est"),
    "verdict": ("span", "verdict"),
    "code": ("code", None),
    "strong": ("strong", None),
    "emphasis": ("em", None),
}


@cache
def environment() -> Environment:
    """Templates of this package. Everything is escaped that is not marked as safe by the code that drew it."""
    found = Environment(
        loader=PackageLoader("w2s_pref.report", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["drawn"] = PageTable
    found.globals["linked"] = str
    return found


def harmless(value: Any) -> Any:
    """Text without control characters; markup and everything else as it is."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


class PageTable:
    """A table as the page shows it: its columns, their scales, and every row as cells."""

    def __init__(self, table: Table[Any]) -> None:
        """Scales hold every estimate of the columns that share an axis."""
        self.columns = [column for column in table.columns if column.where != "terminal"]
        self.scales: dict[str, Range | None] = {}
        for axis in dict.fromkeys(column.axis for column in self.columns if column.axis):
            mine = [column for column in self.columns if column.axis == axis]
            items = [item for _, rows in table.groups for item in rows]
            values = (_bare(column.get(item)) for column in mine for item in items)
            self.scales[axis] = spread((v for v in values if isinstance(v, Estimate)), mine[0].neutral)
        self.groups = [(title, [self._row(title, item) for item in rows]) for title, rows in table.groups]

    def ends(self, column: Column[Any]) -> str:
        """The ends of a column's dot scale, printed once beneath its heading."""
        scale = self.scales.get(column.axis)
        return "" if scale is None else f"{number(scale[0], column.digits)} … {number(scale[1], column.digits)}"

    def _row(self, title: str, item: Any) -> list[Markup]:
        first = _bare(self.columns[0].get(item))
        place = [part for part in (title, first) if part and isinstance(part, str)]
        return [
            cell(column.get(item), column, self.scales.get(column.axis), [column.title or column.head, *place])
            for column in self.columns
        ]


def _bare(content: Content) -> Content:
    return content.of if isinstance(content, Value) else content


def cell(content: Content, column: Column[Any], scale: Range | None, name: Sequence[str]) -> Markup:
    """A cell: words as they look, or a number with its interval, the strip of its seeds, and notes beneath."""
    if isinstance(content, Strip):
        return strip(content.of, content.scale, content.digits, content.name, content.neutral, content.width)
    value = content if isinstance(content, Value) else Value(content)
    neutral = column.neutral if value.neutral is None else value.neutral
    digits = column.digits if value.digits is None else value.digits
    if value.of is None:
        shown = el("span", value.absent, class_="undef")
    elif isinstance(value.of, str):
        tag, class_ = TONES.get(value.tone, ("", None))
        shown = el(tag, value.of, class_=class_) if tag else Markup.escape(plain(value.of))
    else:
        shown = _number(value.of, digits)
        if scale is not None and value.of.estimate is not None:
            shown += strip(value.of, scale, digits, ", ".join(name), neutral)
    beneath = "why warn" if value.tone == "verdict" else "why"
    return shown + Markup("").join(el("span", note, class_=beneath) for note in value.notes)


def _number(value: Estimate, digits: int) -> Markup:
    """The number over its interval and the reading in these seeds, or the word "undefined" over its reason."""
    why = reason(value.note)
    if value.estimate is None:
        note = el("span", why, class_="why") if why else Markup("")
        return el("span", UNDEFINED, class_="undef") + note
    bounds = interval(value.interval, digits) or why or NO_INTERVAL
    shown = el("span", number(value.estimate, digits), class_="est") + el("span", bounds, class_="iv")
    inner = second(value, digits)
    return shown + el("span", inner, class_="iv within", title="in these seeds") if inner else shown


def write_page(text: str, path: Path) -> None:
    """Write a page: whole or not at all."""
    page = text.encode("utf-8", "replace")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(page)
