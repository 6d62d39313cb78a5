"""The score table holds the items that every model scored, and says how many it left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.preferences.analyze import score_table


class Tables:
    """Stands for a builder whose store holds these tables."""

    def __init__(self, tables: dict[str, pd.DataFrame]) -> None:
        self.tables = tables

    def table(self, stage: Scored) -> pd.DataFrame:
        return self.tables[stage.name]


def study(**scored: str) -> tuple[Any, dict[tuple[str, int, str], Scored]]:
    """``model_seed`` → the items (one letter each) that it scored, of a, b and c."""
    ids = list("abc")
    columns = {"id": ids, "group": ids, "form": "text", "prompt": "p", "a": "x", "b": "y", "truth": [1, 0, 1]}
    on = Rows("test", pd.DataFrame({**columns, "objective": "harmless"}))
    tables, stages = {}, {}
    for name, items in scored.items():
        model, _, seed = name.partition("_")
        tables[name] = pd.DataFrame({"id": list(items), "score_a": 1.0, "score_b": 0.0})
        stages[model, int(seed), "test"] = Scored(name, on)
    return Tables(tables), stages


def test_all_items() -> None:
    table, sentences = score_table(*study(weak_0="abc", weak_1="abc", strong_0="cab", strong_1="abc"))
    assert len(table) == 12
    assert sentences == []
    names = ["id", "group", "model", "seed", "delta", "tau", "objective", "kind", "score_chosen", "score_rejected"]
    assert list(table) == names
    assert (table["score_chosen"] - table["score_rejected"] == table["delta"]).all()
    assert table.groupby("id")["delta"].unique().map(list).to_dict() == {"a": [1.0], "b": [-1.0], "c": [1.0]}


def test_items_that_a_model_left_out_are_counted() -> None:
    table, sentences = score_table(*study(weak_0="abc", weak_1="abc", strong_0="ac", strong_1="abc"))
    assert set(table["id"]) == {"a", "c"}
    assert len(table) == 8
    (sentence,) = sentences
    assert sentence.startswith("1 of 3 test items of 'harmless' are in no number here: data.overlong: drop left them")
    assert "4 models" in sentence


@pytest.mark.parametrize("strong", ["", "c"])
def test_where_no_item_is_scored_by_all_the_sentence_says_so(strong: str) -> None:
    """Items that the other models share are no substitute: the analysis would compare models on different items."""
    with pytest.raises(W2SError, match="none of the 3 test items of 'harmless' was scored by all 3 models") as error:
        score_table(*study(weak_0="ab", weak_1="ab", strong_0=strong))
    assert "overlong: truncate" in str(error.value)


def test_objectives_are_counted_apart(tmp_path: Path) -> None:
    builder, stages = study(weak_0="abc", strong_0="ab")
    frame = stages["weak", 0, "test"].on.frame.assign(objective="helpful", id=list("def"))
    for model in ("weak", "strong"):
        stages[model, 0, "conflict_test"] = Scored(f"{model} other", Rows("conflict_test", frame))
        builder.tables[f"{model} other"] = pd.DataFrame({"id": list("def"), "score_a": 0.0, "score_b": 1.0})
    table, sentences = score_table(builder, stages)
    assert table.groupby("objective")["id"].nunique().to_dict() == {"harmless": 2, "helpful": 3}
    assert len(sentences) == 1
