"""Tables for the terminal in which no cell is ever cut."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table


class TextTable(Table):
    """A rich table; a word that is wider than its column goes on in the next line."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The same, with every column folded where rich would put dots."""
        for column in self.columns:
            column.overflow = "fold"
        yield from super().__rich_console__(console, options)
