"""RewardBench and RewardBench 2 as pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from benchmark_helpers import row, written

from w2s_pref.core.errors import W2SError
from w2s_pref.data.sources import Source, load


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pairs_of(name: str, path: str, **more: Any) -> pd.DataFrame:
    return load(Source(source=name, objective="target", options={"path": path}, **more)).frame


def test_reward_bench_keeps_copies_under_ids_of_their_own(place: Path) -> None:
    path = written(place, [row("hep-go", 7, "w3", "w4"), row("hep-go", 7, "w3", "w4"), row("math-prm", 7, "w5", "w6")])
    frame = pairs_of("reward-bench", path)
    assert list(frame["id"]) == ["hep-go:7", "hep-go:7#1", "math-prm:7"]
    assert list(frame["subset"]) == ["hep-go", "hep-go", "math-prm"]
    assert set(frame["form"]) == {"chat"}
    assert json.loads(frame["prompt"][0]) == [{"role": "user", "content": "w1 w2 7"}]


def test_reward_bench_2_pairs_every_right_with_every_wrong_answer(place: Path) -> None:
    path = written(
        place,
        [
            row("Math", "12", ["w3"], ["w4", "w5", "w6"]),
            row("Ties", "tied:1", ["w3", "w4"], ["w5", "w6"]),
            row("Ties", "ref:1", ["w3"], ["w5"]),
        ],
    )
    frame = pairs_of("reward-bench-2", path)
    assert list(frame["id"]) == [
        *("Math:12/0-0", "Math:12/0-1", "Math:12/0-2"),
        *("Ties:tied:1/0-0", "Ties:tied:1/0-1", "Ties:tied:1/1-0", "Ties:tied:1/1-1", "Ties:ref:1/0-0"),
    ]
    assert frame["group"].nunique() == 2  # a prompt of Ties and its reference prompt are resampled together
    assert list(frame["item"][:4]) == ["12", "12", "12", "tied:1"]


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("reward-bench", [{"prompt": "w1", "chosen": "w2", "rejected": "w3"}], "no column 'id'"),
        ("reward-bench-2", [row("Math", "1", ["w3", "w4"], ["w5"])], "row 1: 2 right answers, which only the subset"),
        ("reward-bench-2", [row("Ties", "1", ["w3", "w4"], ["w5"])], "the id '1' is neither ref:NUMBER nor tied:"),
        ("reward-bench-2", [row("Math", "1", "w3", "w5")], "row 1: chosen is no list of answers"),
    ],
)
def test_rows_that_are_none(place: Path, name: str, rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(W2SError, match=said):
        pairs_of(name, written(place, rows))
