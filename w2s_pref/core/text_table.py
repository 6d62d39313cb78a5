"""Tables for the terminal in which no cell is ever cut."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table


class TextTable(Table):
    """A rich table whose cells go on in the next line: between words where the terminal is wide enough for that."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The same, with words folded where rich would put dots, and kept whole where there is room for that."""
        for column in self.columns:
            column.overflow = "fold"
        room = options.max_width - (len(self.columns) + 1 if self.box else 0)
        room -= len(self.columns) * (self.padding[1] + self.padding[3])
        needs = [_need(column, console, options) for column in self.columns]
        spare = room - sum(need.minimum for need in needs)
        if spare >= 0 and sum(need.maximum for need in needs) > room:
            # The smallest wishes first, so that most columns keep to one line.
            for column, need in sorted(zip(self.columns, needs, strict=True), key=lambda pair: pair[1].span):
                more = min(spare, need.span)
                column.width, spare = need.minimum + more, spare - more
        yield from super().__rich_console__(console, options)


def _need(column: Column, console: Console, options: ConsoleOptions) -> Measurement:
    """Width of the longest word of a column, and of its longest cell."""
    each = [Measurement.get(console, options, cell) for cell in (column.header, *column.cells)]
    most = max(one.maximum for one in each)
    return Measurement(most if column.no_wrap else max(one.minimum for one in each), most)
