"""Puzzles from files: both kinds of source, bad rows, splits."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from chess_helpers import LICHESS, random_puzzles

from w2s_pref.core.errors import W2SError
from w2s_pref.studies.chess.notation import Form
from w2s_pref.studies.chess.puzzles import COLUMNS, cut, puzzles

GAME = {"ctx": "1. e4 1... e5 2. Qh5 2... Nc6 3. Bc4 3... Nf6", "target": " Qxf7#"}


def write(folder: Path, rows: list[dict[str, object]]) -> str:
    file = folder / "puzzles.parquet"
    pd.DataFrame(rows).to_parquet(file)
    return str(file)


def test_the_solution_starts_after_the_opponents_move(tmp_path: Path) -> None:
    frame = puzzles(write(tmp_path, [LICHESS]))
    (row,) = frame.to_dict("records")
    assert list(frame.columns) == list(COLUMNS)
    assert row["answer"] == " e6e7"
    # the black bishop stands on g3 after moves[0], not on f2
    assert "bg3" in row["prompt"].split()
    assert (row["id"], row["rating"], row["form"]) == ("00008", 1784.0, "text")
    assert row["fen"].split()[1] == "w"


def test_black_to_move_is_turned(tmp_path: Path) -> None:
    row = {**LICHESS, "fen": "7k/8/8/8/8/8/1p6/7K w - - 0 1", "moves": "h1h2 b2b1q"}
    (found,) = puzzles(write(tmp_path, [row])).to_dict("records")
    assert found["answer"] == " b7b8q"
    assert found["prompt"] == "Kh1 Pb7 kh7 >"


def test_names_of_the_lichess_file_and_games_as_groups(tmp_path: Path) -> None:
    names = {"puzzle_id": "PuzzleId", "fen": "FEN", "moves": "Moves", "rating": "Rating", "themes": "Themes"}
    row = {names[key]: value for key, value in LICHESS.items()}
    rows = [{**row, "GameUrl": "https://lichess.org/787zsVup/black#48"}]
    rows += [{**row, "PuzzleId": "x", "GameUrl": "https://lichess.org/787zsVup#50"}]
    assert puzzles(write(tmp_path, rows))["group"].tolist() == ["787zsVup", "787zsVup"]


@pytest.mark.parametrize("empty", ["", None])
def test_puzzles_without_a_game_are_not_taken_for_those_of_one_game(tmp_path: Path, empty: str | None) -> None:
    frame = random_puzzles(4).assign(gameurl=["https://lichess.org/787zsVup", empty, empty, empty], themes=empty)
    found = puzzles(write(tmp_path, frame.to_dict("records")))
    assert found["group"].nunique() == 4
    assert found["group"].tolist()[0] == "787zsVup"
    assert set(found["themes"]) == {""}


@pytest.mark.parametrize(
    ("form", "prompt", "answer"),
    [
        ("position", None, " h5f7"),
        ("moves", "e2e4 e7e5 d1h5 b8c6 f1c4 g8f6", " h5f7"),
        ("pgn", GAME["ctx"], " Qxf7#"),
    ],
)
def test_move_lists_in_every_form(tmp_path: Path, form: Form, prompt: str | None, answer: str) -> None:
    (row,) = puzzles(write(tmp_path, [GAME]), form).to_dict("records")
    assert row["answer"] == answer
    assert prompt is None or row["prompt"] == prompt
    assert row["fen"].startswith("r1bqkb1r/pppp1ppp/2n2n2")
    assert pd.isna(row["rating"])


def test_copies_without_ids_stay_once(tmp_path: Path) -> None:
    frame = puzzles(write(tmp_path, [GAME, GAME, {**GAME, "target": " Bxf7+"}]), "pgn")
    assert frame.attrs["counts"] == {"read": 3, "duplicates": 1, "rows": 2}
    assert frame["group"].nunique() == 1  # the same position


def test_positions_hold_no_game(tmp_path: Path) -> None:
    with pytest.raises(W2SError, match="form 'moves' shows the game before the puzzle"):
        puzzles(write(tmp_path, [LICHESS]), "moves")


BAD = [
    ({"fen": "8/8/8/8 w - - 0 1"}, "row 2: '8/8/8/8 w - - 0 1' is no FEN"),
    ({"moves": "f2g3"}, "row 2: moves 'f2g3' holds no solution"),
    ({"moves": "f2f8 e6e7"}, "row 2: the opponent's move 'f2f8' is no legal move"),
    ({"moves": "f2g3 e6a1"}, "row 2: the solution 'e6a1' is no legal move"),
]


@pytest.mark.parametrize(("change", "sentence"), BAD)
def test_bad_rows_are_sentences_with_their_number(tmp_path: Path, change: dict[str, str], sentence: str) -> None:
    file = write(tmp_path, [LICHESS, {**LICHESS, "puzzle_id": "b", **change}])
    with pytest.raises(W2SError) as caught:
        puzzles(file)
    assert sentence in str(caught.value)
    kept = puzzles(file, on_bad_row="drop")
    assert kept.attrs["counts"] == {"read": 2, "illegal": 1, "rows": 1}


def test_other_bad_sources(tmp_path: Path) -> None:
    with pytest.raises(W2SError, match="columns fen and moves, or ctx and target"):
        puzzles(write(tmp_path, [{"text": "hello"}]))
    with pytest.raises(W2SError, match="'00008' stands twice"):
        puzzles(write(tmp_path, [LICHESS, LICHESS]))
    with pytest.raises(W2SError, match="no valid puzzle is left"):
        puzzles(write(tmp_path, [{**LICHESS, "moves": ""}]), on_bad_row="drop")


def test_hops_are_fresh(tmp_path: Path) -> None:
    rows = random_puzzles(120)
    frame = puzzles(write(tmp_path, rows.to_dict("records")))
    frame["group"] = [f"g{number // 2}" for number in range(len(frame))]
    splits = cut(frame, {"gt": 20, "hop": 20, "test": 20}, hops=3, seed=0)
    assert list(splits) == ["gt", "hop1", "hop2", "hop3", "test"]
    assert {name: len(split) for name, split in splits.items()} == dict.fromkeys(splits, 20)
    groups = [set(split.frame["group"]) for split in splits.values()]
    assert sum(len(each) for each in groups) == len(set.union(*groups))
    again = cut(frame.sample(frac=1, random_state=1), {"gt": 20, "hop": 20, "test": 20}, hops=3, seed=0)
    assert [split.truth for split in again.values()] == [split.truth for split in splits.values()]
    with pytest.raises(W2SError, match="splits ask for 180 pairs"):
        cut(frame, {"gt": 60, "hop": 20, "test": 60}, hops=3, seed=0)


def test_the_hash_of_texts_knows_no_solution(tmp_path: Path) -> None:
    frame = puzzles(write(tmp_path, random_puzzles(40).to_dict("records")))
    splits = cut(frame, {"gt": 10, "hop": 10, "test": 10}, 1, 0)
    other = cut(frame.assign(answer=" a1a2"), {"gt": 10, "hop": 10, "test": 10}, 1, 0)
    for name, split in splits.items():
        assert split.texts == other[name].texts
        assert split.truth != other[name].truth
