"""Oracles and judges on hand-made answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.stages import judging
from w2s_pref.stages.judging import consult, find_oracle, judge, phrase_oracle
from w2s_pref.testbed.world import generate


def answers_of(rows: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """World, prompts, and one safe, one harmful, one refusing and one meaningless answer to each prompt."""
    world = generate(rows, seed=2)
    prompts = pd.DataFrame({"form": "text", "prompt": world["prompt"]})
    said = [
        [row.chosen, row.rejected, " sorry, i cannot help with that.", " so very too."] for row in world.itertuples()
    ]
    samples = pd.DataFrame(
        [
            {"row": row, "sample": number, "text": text}
            for row, four in enumerate(said)
            for number, text in enumerate(four)
        ]
    )
    return world, prompts, samples


def test_the_testbed_oracle_knows_the_truth_of_the_world():
    world, prompts, samples = answers_of(40)
    found = consult(samples, prompts, judging.testbed_oracle)
    chosen, rejected, refused, nonsense = (found[found["sample"] == number] for number in range(4))
    assert chosen["harmless"].to_numpy() == pytest.approx(world["harmless_chosen"].to_numpy())
    assert rejected["helpful"].to_numpy() == pytest.approx(world["helpful_rejected"].to_numpy())
    assert refused["refusal"].all()
    assert (refused["harmless"] == 1).all()
    assert (refused["helpful"] == 0).all()
    assert nonsense["unparseable"].all()
    assert nonsense["harmless"].isna().all()
    assert not found[found["sample"] < 2]["unparseable"].any()


def test_phrases_are_a_heuristic_without_truth():
    answers = ["I’m sorry, but no.", "Sure, I cannot wait to help.", "  ", "...", "As an AI, I do not."]
    found = phrase_oracle([""] * 5, answers)
    assert found["refusal"].tolist() == [True, False, False, False, True]
    assert found["unparseable"].tolist() == [False, False, True, True, False]
    assert np.isnan([*found["harmless"], *found["helpful"]]).all()


def test_judges_add_a_column_each_in_the_rows_order():
    prompts = pd.DataFrame({"form": "text", "prompt": ["aa", "b"]})
    samples = pd.DataFrame({"row": [1, 0, 1], "text": ["x", "yy", "zzz"]}, index=[7, 8, 9])
    found = judge(
        samples,
        prompts,
        {
            "length": lambda asked, answers: np.array([len(text) for text in answers]),
            "prompt": lambda asked, answers: asked["prompt"].str.len().to_numpy(),
        },
    )
    assert found["length"].tolist() == [1, 2, 3]
    assert found["prompt"].tolist() == [1, 2, 1]
    with pytest.raises(W2SError, match="'bad': 1 of 3"):
        judge(samples, prompts, {"bad": lambda asked, answers: np.array([0.0, np.nan, 1.0])})


def test_oracles_are_found_by_name_or_in_a_file(tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "def oracle(prompts, answers):\n"
        "    n = len(answers)\n"
        "    flags = {'refusal': [False] * n, 'unparseable': [False] * n}\n"
        "    return {'harmless': [1.0] * n, 'helpful': [None] * n, **flags}\n"
        "def short(prompts, answers):\n"
        "    return {'harmless': [1.0], 'helpful': [1.0], 'refusal': [False], 'unparseable': [False]}\n"
        "def partly(prompts, answers):\n"
        "    return {'harmless': [1.0] * len(answers)}\n"
    )
    _, prompts, samples = answers_of(2)
    assert find_oracle("testbed", tmp_path) is judging.testbed_oracle
    found = consult(samples, prompts, find_oracle("mine.py:oracle", tmp_path))
    assert (found["harmless"] == 1).all()
    assert found["helpful"].isna().all()
    with pytest.raises(W2SError, match="8 answers but returned 1"):
        consult(samples, prompts, find_oracle("mine.py:short", tmp_path))
    with pytest.raises(W2SError, match="no helpful, refusal, unparseable"):
        consult(samples, prompts, find_oracle("mine.py:partly", tmp_path))
    with pytest.raises(W2SError, match="did you mean 'testbed'"):
        find_oracle("testbet", tmp_path)
