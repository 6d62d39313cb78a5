"""Pairs that policies write: how they are put together, which of them are learned, and by what their keys go."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Stage
from w2s_pref.stages.labels import Part
from w2s_pref.stages.pairs import _read
from w2s_pref.stages.rows import Rows
from w2s_pref.stages.written import Candidates, Chosen, chosen, of_prompts, paired, perplexity, written

PAIRS = pd.DataFrame(
    {
        "id": ["q2", "q1", "q3", "q1b"],
        "group": ["2", "1", "3", "1"],
        "form": "text",
        "prompt": ["two?", "one?", "three?", "one?"],
        "a": "yes",
        "b": "no",
        "truth": 1,
        "truth_p": 0.9,
    }
)
PROMPTS = of_prompts("prompts of w2s", Rows("w2s", PAIRS))


def test_a_group_of_many_prompts_has_a_pair_of_each() -> None:
    """Three topics as groups are three units to resample, and not three prompts to learn from."""
    frame = pd.DataFrame(
        {"id": [str(n) for n in range(60)], "group": [("maths", "law", "art")[n % 3] for n in range(60)]}
    )
    asked = frame.assign(form="text", prompt=[f"question {n // 2}?" for n in range(60)], a="yes", b="no", truth=1)
    found = of_prompts("prompts", Rows("w2s", asked)).frame
    assert len(found) == found["prompt"].nunique() == 30
    assert set(found["group"]) == {"maths", "law", "art"}
    assert len(of_prompts("prompts", Rows("w2s", asked.assign(prompt=""))).frame) == 3
    chats = asked.assign(form="chat", prompt="[]")
    assert len(of_prompts("prompts", Rows("w2s", chats)).frame) == 3


@dataclass(frozen=True, eq=False)
class Said(Stage):
    """Answers that are given."""

    prompts: Rows
    settings: dict[str, Any]
    texts: tuple[str, ...] = ()

    @property
    def payload(self) -> dict[str, Any]:
        return {"texts": self.texts}

    @property
    def rows(self) -> int:
        return len(self.texts)

    @property
    def table(self) -> pd.DataFrame:
        count = self.settings["samples"]
        place = np.arange(len(self.texts))
        return pd.DataFrame({"row": place // count, "sample": place % count, "text": self.texts})


GOOD = Said("good", PROMPTS, {"samples": 2}, (" b", " a", " c", "", " z", " same"))
BAD = Said("bad", PROMPTS, {"samples": 1}, (" b1", " c", " same"))


def test_pairs_stand_in_the_order_of_their_texts_and_empty_or_equal_ones_are_out() -> None:
    table = paired(GOOD.table, BAD.table, PROMPTS.frame)
    assert table["id"].tolist() == ["q1 0", "q1 1", "q2 0", "q2 1", "q3 0", "q3 1"]
    assert table["a"].tolist() == [" b", " a", " c", "", " same", " same"]
    assert table["b"].tolist() == [" b1", " b1", " c", " c", " z", " same"]
    assert table["p"].tolist() == [1.0, 1.0, 1.0, 1.0, 0.0, 1.0]
    assert table["keep"].tolist() == [True, True, False, False, True, False]  # the same, empty, the same


def test_answers_of_a_chat_are_messages_and_of_several_negative_ones_the_first_is_taken() -> None:
    bad = Said("bad", PROMPTS, {"samples": 2}, ("w", "x", "w", "x", "w", "x"))
    table = paired(GOOD.table, bad.table, PROMPTS.frame.assign(form="chat"))
    assert json.loads(table["b"][0]) == [{"role": "assistant", "content": "w"}]


#: Of two candidates the second, of the positive answer's side, whatever the negative one has.
LOGPROBS = pd.DataFrame(
    {
        "id": ["q1 0", "q1 1", "q2 0", "q2 1", "q3 0", "q3 1"],
        "logp_a": [-4.0, -3.0, -1.0, -1.0, -9.0, -1.0],
        "logp_b": [-1.0, -1.0, -1.0, -1.0, -2.0, -1.0],
        "tokens_a": [2, 3, 1, 1, 1, 1],
        "tokens_b": [1, 1, 1, 1, 4, 1],
    }
)


def test_perplexity_is_that_of_the_positive_answer() -> None:
    table = paired(GOOD.table, BAD.table, PROMPTS.frame)
    found = perplexity(table, LOGPROBS)
    assert found[[0, 1, 4]] == pytest.approx([exp(2.0), exp(1.0), exp(0.5)])
    assert np.isnan(perplexity(table, LOGPROBS.drop(index=1)))[1]  # too long for the policy


def test_of_a_prompts_answers_the_lowest_perplexity_is_taken_and_of_the_prompts_a_share() -> None:
    table = paired(GOOD.table, BAD.table, PROMPTS.frame)
    table = table.assign(perplexity=perplexity(table, LOGPROBS))
    every = chosen(table, PROMPTS.frame["id"], 1.0)
    assert every["id"].tolist() == ["q1", "q2", "q3"]
    assert every["keep"].tolist() == [True, False, True]
    assert every.loc[[0, 2], "a"].tolist() == [" a", " same"]  # e¹ before e²; of the other both are e^½ or nothing
    assert chosen(table, PROMPTS.frame["id"], 0.5)["keep"].tolist() == [False, False, True]
    assert chosen(table, PROMPTS.frame["id"], 0.01)["keep"].tolist() == [False, False, True]  # one at least
    known = table.assign(perplexity=[np.nan, np.nan, np.nan, np.nan, 3.0, np.nan])
    assert chosen(known, PROMPTS.frame["id"], 1.0)["keep"].tolist() == [False, False, True]


def test_without_perplexities_the_first_answer_that_can_be_learned_is_taken() -> None:
    table = paired(GOOD.table, BAD.table, PROMPTS.frame)
    found = chosen(table.assign(keep=[False, True, True, True, True, True]), PROMPTS.frame["id"], 1.0)
    assert found["a"].tolist() == [" a", " c", " same"]
    assert "perplexity" not in found


class Made:
    """A builder that builds what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def table(self, stage: Any) -> pd.DataFrame:
        if isinstance(stage, Said):
            return stage.table
        if not (self.folder / stage.key).is_dir():
            (self.folder / stage.key).mkdir()
            stage.build(self, self.folder / stage.key)
        return pd.read_parquet(self.folder / stage.key / "table.parquet")


def test_pairs_are_read_when_they_are_written_and_nobody_knows_which_is_better(tmp_path: Path) -> None:
    every = Candidates("pairs", GOOD, BAD)
    rows = written(PROMPTS, every)
    assert (len(rows), every.rows) == (6, 6)
    assert rows.frame["truth"].tolist() == [0] * 6
    assert "truth_p" not in rows.frame
    assert rows.frame["a"].tolist() == ["yes"] * 6  # their lengths stand for those to come
    read = rows.read(Made(tmp_path)).frame.set_index("id")
    assert read.loc["q3 0", ["a", "b", "prompt"]].tolist() == [" same", " z", "three?"]
    one = written(PROMPTS, Chosen("first", every)).read(Made(tmp_path)).frame
    assert one[["id", "a", "b"]].iloc[0].tolist() == ["q1", " b", " b1"]
    assert len(one) == 3


def test_keys_go_by_who_wrote_and_by_what_is_kept() -> None:
    every = Candidates("pairs", GOOD, BAD)
    others = [replace(every, positive=replace(GOOD, texts=("x",) * 6)), replace(every, negative=GOOD)]
    sources = [every, *others, Chosen("c", every), Chosen("c", every, None, 0.5), Chosen("c", others[0])]
    assert len({stage.key for stage in sources}) == len({written(PROMPTS, stage).texts for stage in sources}) == 6
    assert written(PROMPTS, every).texts == written(PROMPTS, replace(every, name="other")).texts
    fewer = Rows("w2s", PROMPTS.frame.iloc[:2])
    assert written(fewer, every).texts != written(PROMPTS, every).texts


def test_policies_that_write_nothing_are_told(tmp_path: Path) -> None:
    silent = Candidates("pairs for round 1", replace(GOOD, texts=("", " ") * 3), BAD)
    with pytest.raises(
        W2SError, match="pairs for round 1: none of 6 pairs is left: in each an answer has no word in it"
    ):
        silent.build(Made(tmp_path), tmp_path)


def test_a_reversed_part_prefers_what_its_labels_do_not() -> None:
    from conftest import make_tokenizer

    labels = pd.DataFrame({"id": PAIRS["id"], "p": [1.0, 0.0, 0.3, 1.0], "keep": True})
    stage = SimpleNamespace(seed=0, tokens={"max_length": 16, "overlong": "truncate"}, raven=None)
    builder, rows = SimpleNamespace(table=lambda _: labels), Rows("w2s", PAIRS)
    parts = [Part(rows, Stage("labels")), Part(rows, Stage("labels"), reversed=True)]
    plain, turned = (_read(builder, part, stage, make_tokenizer(), True)[1]["p"].tolist() for part in parts)
    assert plain == [1.0, 0.0, 0.3, 1.0]
    assert turned == [0.0, 1.0, 0.7, 0.0]
    assert parts[1].payload == {**parts[0].payload, "reversed": True}
