"""``w2s score``. Heavy imports happen inside, so that help is instant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from w2s_pref.cli.output import JsonOut, console, path, write_json
from w2s_pref.core.errors import W2SError


def score(
    model: Annotated[str, typer.Argument(help="a saved reward model: its folder")],
    pairs: Annotated[
        str,
        typer.Argument(
            help="preference pairs: file, folder, hub id, function or registered name, such as reward-bench"
        ),
    ],
    out: Annotated[Path, typer.Option(parser=path, help="score table to write: .csv, .jsonl or .parquet")],
    name: Annotated[str | None, typer.Option(help="model name in the table; default the folder's name")] = None,
    seed: Annotated[int, typer.Option(help="seed to write into the table")] = 0,
    objective: Annotated[str, typer.Option(help="objective to write into the table")] = "target",
    column: Annotated[
        list[str] | None, typer.Option(help="OURS=THEIRS, e.g. chosen=better; OURS=null leaves it out")
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="longest text in tokens, prompts cut from the left; default a student's own or 512, benchmarks 2048",
        ),
    ] = None,
    append: Annotated[bool, typer.Option(help="add to the table if it is there")] = False,
    split: Annotated[str | None, typer.Option(help="split of a hub data set or of saved splits")] = None,
    by: Annotated[str | None, typer.Option(help="print accuracy for every value of this column of the pairs")] = None,
    benchmark: Annotated[
        Literal["reward-bench", "reward-bench-2"] | None,
        typer.Option(help="the pairs are rows of this benchmark: print its score by its own rules"),
    ] = None,
    unknown_tokens: Annotated[
        Literal["error", "warn"],
        typer.Option(help="more than 20 % of the tokens are unknown to the model: error, or go on"),
    ] = "error",
    json_file: JsonOut = None,
) -> None:
    """Score any pairs with any saved reward model → a score table for `w2s analyze`; accuracy by subset, benchmarks."""
    from w2s_pref.cli.scoring import board_table, score_to_table
    from w2s_pref.interface.scoring import Scoring, board_json

    columns = _columns(column or [])
    scoring = Scoring(model, pairs, name, seed, objective, columns, max_length, split, benchmark, unknown_tokens)
    table, board = score_to_table(scoring, out, append, by)
    accuracy = float((table["delta"] > 0).mean() + (table["delta"] == 0).mean() / 2)
    if board is not None:
        console().print(board_table(board))
        for note in board.notes:
            console().print(note, style="yellow", markup=False)
    print(f"wrote {len(table):,} scores to {out}; accuracy {accuracy:.3f}")
    write_json(json_file, lambda: {"accuracy": accuracy, "board": None if board is None else board_json(board)})


def _columns(given: list[str]) -> dict[str, str | None]:
    """``OURS=THEIRS`` of every --column; ``null`` leaves a column out, as it does in a recipe."""
    found: dict[str, str | None] = {}
    for text in given:
        ours, equals, theirs = text.partition("=")
        if not equals or not theirs:
            raise W2SError(f"--column {text!r}: write OURS=THEIRS, e.g. chosen=better, or OURS=null to leave it out")
        if ours in found:
            raise W2SError(f"--column {text!r}: {ours} is {found[ours] or 'null'!r} already; give each column once")
        found[ours] = None if theirs == "null" else theirs
    return found
