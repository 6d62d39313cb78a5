"""The results of a chess study in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from w2s_pref.report.draw.format import count, estimate, number
from w2s_pref.results.chess import Band, ChessBody


def show(results: ChessBody, console: Console) -> None:
    """Print models, labels, chains and what to beware of."""
    for part in parts(results):
        console.print(part)


def parts(results: ChessBody) -> Iterator[RenderableType]:
    """The same, piece by piece."""
    none = results.cells_without_gap
    yield f"{count(results.puzzles)} test puzzles, {len(results.seeds)} seeds; random legal moves {results.chance:.3f}"
    yield f"{none} of {len(results.cells)} chains without a gap above noise"
    yield _players(results)
    yield _labels(results)
    yield _cells(results)
    for cell in results.cells:
        yield escape(f"{'>'.join(cell.chain)}: {cell.verdict}")
        yield from (f"[yellow]{escape(text)}[/]" for text in cell.warnings if text != cell.verdict)
    yield from (f"[yellow]{escape(f'{player.name}: {player.note}')}[/]" for player in results.players if player.note)


def band_name(band: Band) -> str:
    """``< 1000``, ``1000-1500``, ``≥ 2000``, or ``all``."""
    if band.low is None:
        return "all" if band.high is None else f"< {band.high}"
    return f"≥ {band.low}" if band.high is None else f"{band.low}-{band.high}"


def _players(results: ChessBody) -> Table:
    bands = results.players[0].bands
    heads = [f"{band_name(band)} ({count(band.n)})" for band in bands]
    table = Table("model", "right", "legal", *heads, box=None)
    for player in results.players:
        cells = [number(band.accuracy.estimate) for band in player.bands]
        table.add_row(player.name, estimate(player.accuracy), number(player.legal.estimate), *cells)
    return table


def _labels(results: ChessBody) -> Table:
    table = Table("labels of", "right", "legal", box=None)
    for each in results.labels:
        table.add_row(each.student, estimate(each.accuracy), number(each.legal.estimate))
    return table


def _cells(results: ChessBody) -> Table:
    accuracy = {player.name: player.accuracy.estimate for player in results.players}
    table = Table("chain", "weak", "student", "ceiling", "PGR", "same move", "if right", "if wrong", box=None)
    for cell in results.cells:
        three = [number(accuracy[name]) for name in (cell.weak, cell.student, cell.ceiling)]
        same = (cell.agreement.overall, cell.agreement.supervisor_right, cell.agreement.supervisor_wrong)
        pgr = estimate(cell.pgr) if cell.pgr.estimate is not None else "no gap"
        table.add_row(">".join(cell.chain), *three, pgr, *(number(each.estimate) for each in same))
    return table
