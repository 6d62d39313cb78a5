"""`w2s score`: both raw scores, the columns of the pairs, accuracy by subset, benchmarks from files and by name."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from benchmark_helpers import row, written
from conftest import make_model, make_rows, make_tokenizer
from fault_helpers import refused, succeeded

from w2s_pref.core.errors import W2SError
from w2s_pref.interface.score import score as interface_score

#: Rows of benchmarks hold numbers, which the words of the small tokenizer do not.
WARN = ("--unknown-tokens", "warn")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(place: Path) -> str:
    make_model(hidden=16, layers=1).save_pretrained(place / "model")
    make_tokenizer().save_pretrained(place / "model")
    return "model"


def test_the_score_table_holds_both_scores_and_the_columns_of_the_pairs(place: Path, model: str) -> None:
    frame = make_rows(40).assign(subset=["a", "b"] * 20, level=range(40), kind=["x"] * 40)
    frame.to_csv("pairs.csv", index=False)
    done = succeeded("score", model, "pairs.csv", "--out", "s.parquet", "--by", "subset", "--json", "by.json")
    table = pd.read_parquet("s.parquet")
    assert (table["score_chosen"] - table["score_rejected"] - table["delta"]).abs().max() < 1e-12
    assert set(table["subset"]) == {"a", "b"}
    assert list(table["kind"].unique()) == ["reward_model"]
    assert list(table["pairs.kind"].unique()) == ["x"]
    assert sorted(map(int, table["level"])) == list(range(40))
    assert "Accuracy by subset" in done.out
    board = json.loads(Path("by.json").read_text())["board"]
    accuracy = (table["delta"] > 0).groupby(table["subset"]).mean()
    assert [(line["name"], line["rows"]) for line in board["lines"]] == [("a", 20), ("b", 20), ("all", 40)]
    assert board["lines"][0]["accuracy"]["estimate"] == pytest.approx(accuracy["a"])
    succeeded("score", model, "pairs.csv", "--out", "s.parquet", "--name", "second", "--append")
    both = pd.read_parquet("s.parquet")
    assert len(both) == 80
    assert both["level"].notna().all()
    assert len(set(both["level"])) == 40
    refused(place, "score", model, "pairs.csv", "--out", "t.csv", "--by", "topic", said="no such column; theirs are")
    own = "is scored by its own subsets; leave by (--by) out"
    named = ("--benchmark", "reward-bench", "--by", "subset")
    refused(place, "score", model, "pairs.csv", "--out", "t.csv", *named, said=f"by 'subset': reward-bench {own}")
    refused(place, "score", model, "reward-bench-2", "--out", "t.csv", "--by", "x", said=f"reward-bench-2 {own}")


def test_pairs_that_a_model_cannot_read(place: Path, model: str, caplog: pytest.LogCaptureFixture) -> None:
    """What `w2s plan` refuses or warns of is no silent number here."""
    strange = pd.DataFrame(
        {"prompt": "how do I clean", "chosen": [f" w{n} oven" for n in range(30)], "rejected": " no"}
    )
    strange.to_csv("strange.csv", index=False)
    said = ("tokens of these pairs are unknown to its tokenizer: it cannot read these texts", "--unknown-tokens warn")
    refused(place, "score", model, "strange.csv", "--out", "s.csv", said=said)
    loaded = (make_model(hidden=16, layers=1), make_tokenizer())
    with pytest.raises(W2SError, match=r"the model: .* it cannot read these texts"):
        interface_score(loaded, strange)
    succeeded("score", model, "strange.csv", "--out", "s.csv", "--unknown-tokens", "warn")
    assert "it cannot read these texts" in caplog.text
    caplog.clear()
    known = pd.DataFrame(
        {"prompt": "w1 w2 w3 w4 w5 w6 w7", "chosen": [f" w{n} w8" for n in range(30)], "rejected": " w9"}
    )
    interface_score(loaded, known)
    assert not caplog.text
    interface_score(loaded, known.assign(chosen=known["chosen"] + " oven"))
    assert "what it does not know it cannot tell apart" in caplog.text
    assert "the better ones have" in caplog.text


def test_a_benchmark_from_a_file(place: Path, model: str) -> None:
    rows = [row("math-prm", n, f"w{n} w3", f"w{n} w4") for n in range(6)]
    rows += [row("alpacaeval-easy", n, f"w{n} w3", f"w{n} w4") for n in range(6)]
    path = written(place, rows)
    done = succeeded("score", model, path, "--out", "s.csv", "--benchmark", "reward-bench", "--json", "b.json", *WARN)
    assert "Reasoning" in done.out
    assert "Not the published score: 21 of 23 subsets are not here" in " ".join(done.out.split())
    table = pd.read_csv("s.csv")
    lines = {
        line["name"]: line["accuracy"]["estimate"] for line in json.loads(Path("b.json").read_text())["board"]["lines"]
    }
    right = (table["delta"] > 0).groupby(table["subset"]).mean()
    assert lines["RewardBench"] == pytest.approx((right["math-prm"] + right["alpacaeval-easy"]) / 2)
    rows = [row("Safety", str(n), [f"w{n} w3"], [f"w{n} w4", f"w{n} w5", f"w{n} w6"]) for n in range(5)]
    rows += [row("Ties", f"tied:{n}", [f"w{n} w3", f"w{n} w7"], [f"w{n} w4"]) for n in range(5)]
    rows += [row("Ties", f"ref:{n}", [f"w{n} w3"], [f"w{n} w4"]) for n in range(5)]
    done = succeeded(
        "score", model, written(place, rows, "two.jsonl"), "--out", "t.csv", "--benchmark", "reward-bench-2", *WARN
    )
    assert "reference accuracy" in done.out
    assert "wrote 30 scores to t.csv" in done.out


def test_benchmarks_of_the_hub_by_name_or_id(place: Path, model: str) -> None:
    for name in ("reward-bench", "allenai/reward-bench"):
        said = "data set 'allenai/reward-bench' (reward-bench) is not in the local cache and the hub could not be asked"
        refused(place, "score", model, name, "--out", "s.csv", said=said)
    said = "columns: rows of reward-bench-2 have the columns of allenai/reward-bench-2; leave it out"
    refused(place, "score", model, "allenai/reward-bench-2", "--out", "s.csv", "--column", "chosen=x", said=said)
