"""What ``w2s score`` writes says the same in every format, and can be read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from w2s_pref.analysis.scores.table import load_frame, read_scores, validate_scores
from w2s_pref.cli.scoring import _joined, _write
from w2s_pref.core.errors import W2SError

FORMATS = ("csv", "jsonl", "parquet")
DELTAS = [1e-13, 0.1 + 0.2, -3e-7]


def table(**more: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"id": ["a", "b", "007"], "group": ["g", "h", "i"], "delta": DELTAS, "model": "m", "seed": 0})
    return frame.assign(objective="target", kind="reward_model", tau=1.0, **more)


@pytest.mark.parametrize("ending", FORMATS)
def test_scores_are_the_same_in_every_format(tmp_path: Path, ending: str) -> None:
    """JSON Lines held ten digits behind the point: a small margin became a tie."""
    out = tmp_path / f"scores.{ending}"
    notes = ["a\rb", 'say "x"\n', "\u00e9\u2028"]
    _write(table(note=notes, day=pd.date_range("2020-01-01", periods=3), liked=[True, None, False]), out)
    found, own = read_scores(out), load_frame(out)
    assert found["delta"].tolist() == DELTAS
    assert found["id"].tolist() == ["a", "b", "007"]
    assert own["note"].tolist() == notes
    assert [str(day)[:10] for day in own["day"]] == ["2020-01-01", "2020-01-02", "2020-01-03"]


def test_a_number_in_a_sentence_is_a_number() -> None:
    with pytest.raises(W2SError, match=r"tau is not a finite number \(nan\)"):
        validate_scores(table().assign(tau=float("nan")))


@pytest.mark.parametrize("ending", FORMATS)
def test_rows_that_do_not_go_with_the_table_that_is_there(tmp_path: Path, ending: str) -> None:
    """They were appended, and no analysis read the file any more."""
    out = tmp_path / f"scores.{ending}"
    _write(table(), out)
    with pytest.raises(W2SError, match="with the new rows, row 4, id 'a': this id was in another group"):
        _joined(table().assign(model="other", group=["z", "h", "i"]), out)
    _write(_joined(table().assign(model="other"), out), out)
    assert len(read_scores(out)) == 6


def test_a_column_that_two_tables_hold_unlike(tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    _write(table(topic=[1, 2, 3]), out)
    with pytest.raises(W2SError, match=r"scores\.parquet: cannot be written"):
        _write(_joined(table(topic=["x", "y", "z"]).assign(model="other"), out), out)
    assert len(read_scores(out)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["scores.parquet"]
