"""What scoring says of the pairs that it is given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import w2s_pref as w2s
from w2s_pref.core.errors import W2SError
from w2s_pref.interface import scoring

ROWS = [{"prompt": f"q{n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(10)]
MODEL = (SimpleNamespace(config=None), SimpleNamespace(name_or_path="nowhere", model_max_length=512))


@pytest.fixture(autouse=True)
def _a_model_that_likes_good_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(model: object, tokenizer: object, pairs: pd.DataFrame, longest: int) -> pd.DataFrame:
        sides = {side: pairs[side].str.contains("good").astype(float) for side in ("a", "b")}
        return pd.DataFrame({"id": pairs["id"], "score_a": sides["a"], "score_b": sides["b"]})

    monkeypatch.setattr(scoring, "_raw", score)
    for check in ("_check_readable", "_check_head"):
        monkeypatch.setattr(scoring, check, lambda *given: None)


def test_what_is_noticed_of_the_pairs_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """The first of two answers is no better one: a perfect model would get one half, and nobody would know why."""
    kinds = ("good", "bad")
    rows = [
        {
            "prompt": f"q{n}",
            "output_1": f"{kinds[n % 2]} {n}",
            "output_2": f"{kinds[1 - n % 2]} {n}",
            "label": 1 + n % 2,
        }
        for n in range(10)
    ]
    table = w2s.score(MODEL, rows, columns={"chosen": "output_1", "rejected": "output_2"})
    assert (table["delta"] > 0).mean() == 0.5
    assert "'output_1' is read as the better answer of every row, but there are two answers" in caplog.text


def test_a_probability_is_refused() -> None:
    rows = [{"prompt": f"q{n}", "chosen": f"good {n}", "rejected": f"bad {n}", "share": 0.3} for n in range(10)]
    assert (w2s.score(MODEL, rows)["delta"] > 0).all()
    assert (w2s.score(MODEL, rows, columns={"p": None})["delta"] > 0).all()
    with pytest.raises(W2SError, match="a score table has one better answer a pair and no place for the probability p"):
        w2s.score(MODEL, rows, columns={"p": "share"})


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"max_length": 0}, "max_length=0: give a number of tokens, 2 or more"),
        ({"max_length": -1}, "max_length=-1: give a number of tokens"),
        ({"max_length": True}, "max_length=True: give a number of tokens"),
        ({"max_length": 2.5}, "max_length=2.5: give a number of tokens"),
        ({"seed": 1.5}, "seed=1.5: give a whole number"),
        ({"seed": "0"}, "seed='0': give a whole number"),
        ({"unknown_tokens": "warning"}, "unknown_tokens='warning': give 'error' or 'warn'"),
        ({"columns": ["better"]}, "columns: give a dictionary, our name: yours"),
        ({"split": "test"}, "split='test' is for hub data sets and saved splits"),
    ],
)
def test_options_that_are_none_are_refused_before_anything_loads(option: dict[str, Any], said: str) -> None:
    with pytest.raises(W2SError) as error:
        w2s.score("no model is here", ROWS, **option)
    assert said in str(error.value)


@pytest.mark.parametrize("model", [MODEL[0], MODEL[::-1], [*MODEL], None])
def test_what_is_no_model_is_a_sentence(model: Any) -> None:
    with pytest.raises(W2SError, match=r"model: give the folder of a saved reward model, or \(model, tokenizer\)"):
        w2s.score(model, ROWS)


def test_pairs_in_every_form_that_a_file_may_hold() -> None:
    datasets = pytest.importorskip("datasets")
    lists = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    for pairs in (ROWS, tuple(ROWS), lists, pd.DataFrame(ROWS), datasets.Dataset.from_list(ROWS)):
        assert w2s.score(MODEL, pairs)["chosen"].tolist() == lists["chosen"]


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (None, "of type NoneType"),
        (3, "of type int"),
        (["x"], "of type list that holds str"),
        ([None], "holds NoneType"),
    ],
)
def test_what_holds_no_pairs_is_a_sentence(pairs: Any, said: str) -> None:
    with pytest.raises(W2SError, match=said):
        w2s.score(MODEL, pairs)
