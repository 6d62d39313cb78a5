"""Lichess puzzles as prompts and answers, from positions or from games; every bad row is a sentence or a count."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import chess
import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.data.problems import Problems
from w2s_pref.data.readers import Part, Request, read
from w2s_pref.data.split import split
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.chess.notation import Form, board_of, facing, moves_text, position_text, read_move, replay, turned

log = logging.getLogger(__name__)

COLUMNS = ("id", "group", "form", "prompt", "answer", "fen", "rating", "themes")
"""Of a table of puzzles. ``form`` is "text" for the tokenizers; ``answer`` follows ``prompt`` directly."""

POSITION, GAME = {"fen", "moves"}, {"ctx", "target"}
"""Columns of the two kinds of source: Lichess' own, and the move lists of EleutherAI/lichess-puzzles."""


class Puzzle(NamedTuple):
    """What to find: the board, the solution's first move, the moves before it, and the text of both where given."""

    board: chess.Board
    move: chess.Move
    game: str | None = None
    answer: str | None = None


@dataclass(frozen=True, eq=False)
class Puzzles(Rows):
    """Puzzles of one split. The hash of the texts knows no solution."""

    @cached_property
    def texts(self) -> str:
        """Hash of ids and prompts."""
        return digest(*sorted(digest(*row) for row in zip(self.frame["id"], self.frame["prompt"], strict=True)))

    @cached_property
    def truth(self) -> str:
        """Hash of the solutions."""
        return digest(*sorted(digest(*row) for row in zip(self.frame["id"], self.frame["answer"], strict=True)))


def puzzles(
    source: str,
    form: Form = "position",
    base: Path = Path(),
    *,
    part: str | None = None,
    revision: str | None = None,
    on_bad_row: Literal["error", "drop"] = "error",
) -> pd.DataFrame:
    """Puzzles as a table with ``COLUMNS``; ``attrs["counts"]`` says what was read, dropped and kept.

    Rows with columns ``fen`` and ``moves`` hold the position *before* the opponent's move: ``moves[0]`` is played, the
    solution starts at ``moves[1]``. Rows with ``ctx`` and ``target`` hold the game up to there and the solution. Names
    of columns are read without regard to case; ``rating``, ``themes``, ``puzzle_id`` and ``gameurl`` may be there.

    Args:
        source: file, folder or hub id; relative paths start at ``base``, then at the working directory.
        form: what the prompt shows (see ``notation``); ``moves`` and ``pgn`` need games.
        part: hub only: which split.

    Raises:
        W2SError: every problem found (ten are shown), each with file and row.
    """
    problems, rows = Problems(on_bad_row), []
    for table in read(Request(source, base, split=part, revision=revision)):
        rows += _rows(table, form, problems)
    problems.check()
    if not rows:
        raise W2SError(f"{source}: no valid puzzle is left; {sum(problems.dropped.values()):,} rows were dropped")
    frame, dropped = pd.DataFrame(rows, columns=list(COLUMNS)), Counter(problems.dropped)
    if frame["id"].isna().any():
        frame, dropped["duplicates"] = _with_content_ids(frame)
    if (twice := frame["id"].duplicated()).any():
        raise W2SError(f"{source}: puzzle id {frame['id'][twice].iloc[0]!r} stands twice; keep one row")
    dropped = +dropped
    frame.attrs["counts"] = {"read": len(frame) + dropped.total(), **dropped, "rows": len(frame)}
    if dropped:
        log.warning("%s: %s", source, ", ".join(f"{k} {v:,}" for k, v in frame.attrs["counts"].items()))
    return frame


def _with_content_ids(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Ids from prompt and answer where the source has none; rows that say the same stay once, the rest is counted."""
    frame["id"] = [digest(*row)[:16] for row in zip(frame["prompt"], frame["answer"], strict=True)]
    kept = frame.drop_duplicates("id", ignore_index=True)
    return kept, len(frame) - len(kept)


def _rows(table: Part, form: Form, problems: Problems) -> list[tuple[Any, ...]]:
    frame = table.frame.rename(columns=str.lower)
    parse = _parser({str(name) for name in frame}, form, table.label)
    ids = next((frame[name].astype(str) for name in ("puzzle_id", "puzzleid", "id") if name in frame), None)
    urls = _written(frame, "gameurl")
    # ``787zsVup`` of ``https://lichess.org/787zsVup/black#48``; any other text as it is
    games = [re.split("[#/]", url.partition("lichess.org/")[2])[0] or url for url in urls]
    ratings = pd.to_numeric(frame["rating"], errors="coerce") if "rating" in frame else pd.Series(np.nan, frame.index)
    themes = _written(frame, "themes")
    found = []
    for place, (number, row) in enumerate(zip(frame.index, frame.to_dict("records"), strict=True)):
        try:
            puzzle = parse(row, f"{table.label}, row {number}")
        except W2SError as error:
            problems.row("illegal", str(error))
            continue
        prompt, answer, fen = rendered(puzzle, form)
        own = ids.iloc[place] if ids is not None else None
        group = games[place] or digest(" ".join(fen.split()[:4]))[:16]  # rows that name no game are of no one game
        found.append((own, group, "text", prompt, answer, fen, float(ratings.iloc[place]), themes[place]))
    return found


def _written(frame: pd.DataFrame, column: str) -> list[str]:
    """The texts of a column; empty where there is none."""
    if column not in frame:
        return [""] * len(frame)
    return ["" if pd.api.types.is_scalar(each) and pd.isna(each) else str(each) for each in frame[column]]


def _parser(columns: set[str], form: Form, label: str) -> Callable[[Any, str], Puzzle]:
    """How rows of these columns are read."""
    if columns >= GAME:
        return _from_game
    if columns >= POSITION:
        if form != "position":
            raise W2SError(
                f"{label}: form {form!r} shows the game before the puzzle, but these rows hold positions (fen, moves) "
                "only; write form: position, or bring rows with ctx and target"
            )
        return _from_position
    raise W2SError(f"{label}: puzzles need columns fen and moves, or ctx and target; these are {sorted(columns)}")


def _from_position(row: Any, where: str) -> Puzzle:
    board, words = board_of(str(row["fen"]), where), str(row["moves"]).split()
    if len(words) < 2:
        raise W2SError(
            f"{where}: moves {row['moves']!r} holds no solution; it is the opponent's move, then the solution"
        )
    board.push(_legal(board, words[0], f"{where}: the opponent's move"))
    return Puzzle(board, _legal(board, words[1], f"{where}: the solution"))


def _from_game(row: Any, where: str) -> Puzzle:
    board, answer = replay(str(row["ctx"]), where), str(row["target"])
    return Puzzle(board, _legal(board, answer, f"{where}: the solution"), str(row["ctx"]), answer)


def _legal(board: chess.Board, word: str, what: str) -> chess.Move:
    uci = read_move(board, word)
    if uci is None:
        raise W2SError(f"{what} {word!r} is no legal move in {board.fen()!r}; correct the row or leave it out")
    return chess.Move.from_uci(uci)


def rendered(puzzle: Puzzle, form: Form) -> tuple[str, str, str]:
    """Prompt, answer, and the FEN of the board on which the answer is a move."""
    board, move = puzzle.board, puzzle.move
    if form == "position":
        shown = facing(board)
        return position_text(shown), " " + (move if board.turn else turned(move)).uci(), shown.fen()
    if form == "moves":
        return moves_text(board), " " + move.uci(), board.fen()
    answer = str(puzzle.answer)
    return str(puzzle.game).rstrip(), answer if answer.startswith(" ") else " " + answer, board.fen()


def cut(frame: pd.DataFrame, sizes: dict[str, int], hops: int, seed: int) -> dict[str, Puzzles]:
    """Splits ``gt``, ``hop1`` … and ``test`` that share no group: fresh puzzles for every hop.

    Args:
        sizes: puzzles in ``gt``, in each ``hop``, and in ``test``.

    Raises:
        W2SError: too few puzzles.
    """
    wanted = {"gt": sizes["gt"], "w2s": sizes["hop"] * hops, "test": sizes["test"]}
    parts = split(frame, None, wanted, seed, version=1).frames  # puzzles are cut as they always were
    groups = parts["w2s"].groupby("group", sort=False).ngroup()  # in the order of a hash, so any slice is a random one
    hop = groups * hops // (groups.max() + 1) + 1
    frames = {
        "gt": parts["gt"],
        **{f"hop{n}": parts["w2s"][hop == n] for n in range(1, hops + 1)},
        "test": parts["test"],
    }
    return {name: Puzzles(name, each.reset_index(drop=True)) for name, each in frames.items()}
