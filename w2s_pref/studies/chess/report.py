"""The results of a chess study, in the terminal and as a page: verdicts, chains, models by rating, labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.markup import escape

from w2s_pref.core.text_table import TextTable
from w2s_pref.report.draw.blocks import Content, Guide, Points, Prose, Section, Table, Warnings, plain_table
from w2s_pref.report.draw.format import count, estimate, number
from w2s_pref.report.html import write_study
from w2s_pref.report.readings import reading
from w2s_pref.report.sections import provenance
from w2s_pref.results.chess import Band, ChessBody, ChessResults


def show(results: ChessBody, console: Console) -> None:
    """Print models, labels, chains and what to beware of."""
    for part in parts(results):
        console.print(part)


def parts(results: ChessBody) -> Iterator[RenderableType]:
    """The same, piece by piece."""
    none = results.cells_without_gap
    yield escape(reading(len(results.seeds), "positions"))
    yield f"{count(results.puzzles)} test puzzles, {_seeds(results)}; random legal moves {results.chance:.3f}"
    yield f"{none} of {len(results.cells)} chains without a gap above noise"
    yield _players_text(results)
    yield _labels_text(results)
    yield _cells_text(results)
    for cell in results.cells:
        yield escape(f"{'>'.join(cell.chain)}: {cell.verdict}")
        yield from (f"[yellow]{escape(text)}[/]" for text in cell.warnings if text != cell.verdict)
    yield from (f"[yellow]{escape(f'{player.name}: {player.note}')}[/]" for player in results.players if player.note)


def band_name(band: Band) -> str:
    """``< 1000``, ``1000-1500``, ``≥ 2000``, or ``all``."""
    if band.low is None:
        return "all" if band.high is None else f"< {band.high}"
    return f"≥ {band.low}" if band.high is None else f"{band.low}-{band.high}"


def _players_text(results: ChessBody) -> TextTable:
    bands = results.players[0].bands
    heads = [f"{band_name(band)} ({count(band.n)})" for band in bands]
    table = TextTable("model", "right", "legal", *heads, box=None)
    for player in results.players:
        cells = [number(band.accuracy.estimate) for band in player.bands]
        table.add_row(player.name, estimate(player.accuracy), number(player.legal.estimate), *cells)
    return table


def _labels_text(results: ChessBody) -> TextTable:
    table = TextTable("labels of", "right", "legal", box=None)
    for each in results.labels:
        table.add_row(each.student, estimate(each.accuracy), number(each.legal.estimate))
    return table


def _cells_text(results: ChessBody) -> TextTable:
    accuracy = {player.name: player.accuracy.estimate for player in results.players}
    table = TextTable("chain", "weak", "student", "ceiling", "PGR", "same move", "if right", "if wrong", box=None)
    for cell in results.cells:
        three = [number(accuracy[name]) for name in (cell.weak, cell.student, cell.ceiling)]
        same = (cell.agreement.overall, cell.agreement.supervisor_right, cell.agreement.supervisor_wrong)
        pgr = estimate(cell.pgr) if cell.pgr.estimate is not None else "no gap"
        table.add_row(">".join(cell.chain), *three, pgr, *(number(each.estimate) for each in same))
    return table


def write_report(results: ChessResults, path: Path, own: Sequence[Section] = ()) -> None:
    """Write the page at ``path``; ``own``: sections of the recipe's own, before the provenance."""
    every = [_verdicts(results), _chains(results), _models(results), _labels(results), *own]
    every.append(provenance.section(results))
    write_study(
        results.name,
        "Weak-to-strong generalization: chess puzzles",
        every,
        "“Undefined” and “no gap” are results.",
        path,
    )


def _seeds(results: ChessBody) -> str:
    return f"{len(results.seeds)} seed{'s' * (len(results.seeds) != 1)}"


def _verdicts(results: ChessResults) -> Section:
    said = [f"{_chain(cell.chain)}: {cell.verdict}" for cell in results.cells]
    warned = [f"{_chain(c.chain)}: {text}" for c in results.cells for text in c.warnings if text != c.verdict]
    warned += [f"{player.name}: {player.note}" for player in results.players if player.note]
    size = (
        f"{count(results.puzzles)} test puzzles of {count(results.positions)} positions, {_seeds(results)}; a "
        f"random legal move is right {number(results.chance)} of the time."
    )
    blocks = [Points([results.verdict.headline + ".", size, *said]), Prose([reading(len(results.seeds), "positions")])]
    warnings = [Warnings(warned)] if warned else []
    return Section("verdict", "Verdict", [*blocks, *warnings])


def _chains(results: ChessResults) -> Section:
    accuracy = {player.name: player.accuracy for player in results.players}
    rows = [
        (_chain(cell.chain), *(estimate(accuracy[name]) for name in (cell.weak, cell.student, cell.ceiling)),
         estimate(cell.pgr), estimate(cell.agreement.overall), estimate(cell.agreement.supervisor_right),
         estimate(cell.agreement.supervisor_wrong), estimate(cell.errors.corrected), estimate(cell.errors.new_errors))
        for cell in results.cells
    ]  # fmt: skip
    head = ("Chain", "Weak", "Student", "Ceiling", "PGR", "Same move", "Weak right", "Weak wrong", "Corrected", "New")
    guide = Guide(
        "Puzzles solved; PGR is the part of the gap between weak model and ceiling that the student recovers; then how "
        "often the student writes its weak model's very move: on all puzzles, where that is right, where it is wrong; "
        "last the weak errors it solves and the weak successes it loses.",
        "The student above its weak model, and the same move more often where that is right.",
    )
    return Section("chains", "Chains", [_table("Student, weak model and ceiling of every chain.", head, rows, guide)])


def _models(results: ChessResults) -> Section:
    head = ("Model", "Right", "Legal", *(f"{band_name(b)} ({count(b.n)})" for b in results.players[0].bands))
    rows = [
        (player.name, estimate(player.accuracy), estimate(player.legal), *(estimate(b.accuracy) for b in player.bands))
        for player in results.players
    ]
    guide = Guide("First solution moves found, answers that are legal moves, and accuracy by the puzzles' rating.",
                  "Nearly all answers legal, accuracy falling with the rating.")  # fmt: skip
    return Section("models", "Models", [_table("Every model on the test puzzles.", head, rows, guide)])


def _labels(results: ChessResults) -> Section:
    rows = [(each.student, estimate(each.accuracy), estimate(each.legal)) for each in results.labels]
    table = _table("What every student learned from.", ("Labels of", "Right", "Legal"), rows)
    return Section("labels", "Labels", [table])


def _chain(names: Sequence[str]) -> str:
    return " > ".join(names)


def _table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], guide: Guide | None = None
) -> Table[Sequence[Content]]:
    """A table of a name and numbers with their intervals."""
    return plain_table(caption, head, list(rows), numbers=True, guide=guide, stack=True)
