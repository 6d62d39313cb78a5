"""Comparison of runs: what cannot be compared is said first, and nothing is subtracted."""

from __future__ import annotations

import json

import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.report.compare import compare, document, table
from w2s_pref.report.mismatch import incomparable

from .fixture import build
from .printing import printed


def words(text: str) -> str:
    return " ".join(text.split())


def test_equal_runs_can_be_compared() -> None:
    text = printed(compare([build(), build()]))
    assert text.startswith("These runs share their test data and definitions")
    assert "The resolved recipes are equal." in text
    assert document([build(), build()])["incomparable"] == []


def test_the_reading_of_intervals_names_its_runs_where_they_differ() -> None:
    text = words(printed(compare([build(), build(seeds=1), build()])))
    assert "A, C: Intervals are 95 %. The one in [brackets], over seeds, leads" in text
    assert "B: Intervals are 95 %, in this seed" in text
    assert "A, B: Intervals" not in words(printed(compare([build(), build()])))


def test_only_what_differs_is_shown() -> None:
    other = build()
    other.name, other.recipe["output"] = "other", "elsewhere"
    text = printed(compare([build(), other]))
    assert "The resolved recipes are equal." in text
    assert "The same in all runs: direct, none; direct, explicit; direct, implicit; bootstrapped, none;" in words(text)
    assert "Null" not in text
    accuracy = other.arms[0].settings[1].performance.accuracy
    assert accuracy.estimate is not None
    accuracy.estimate += 0.125
    text = printed(compare([build(), other]))
    numbers = text.split("Accuracy, conflict accuracy, PGR")[1].split("The same in all runs")[0]
    assert "direct, explicit" in numbers
    assert "direct, none" not in numbers


def test_another_test_set_is_said_first() -> None:
    text = printed(compare([build(), build(test_hash="d" * 64)]))
    assert text.startswith("These runs cannot be compared number by number:")
    assert "different test split 'test' (A: cccccccccccc; B: dddddddddddd)" in text


def test_absent_test_set_objectives_and_threshold() -> None:
    first, second, third = build(), build(), build()
    del second.splits["test"]
    second.objectives["target"] = "helpful"
    for arm in third.arms:
        for setting in arm.settings:
            for entry in setting.deception:
                entry.threshold = 0.9
    reasons = " ".join(incomparable([first, second, third], "ABC"))
    assert "B: absent" in reasons
    assert "different objectives" in reasons
    assert "T 0.9" in reasons
    del first.splits["test"], third.splits["test"]
    assert "nothing shows that the runs were tested on the same data" in " ".join(incomparable([first, second], "AB"))


def test_other_training_data_is_a_notice_only() -> None:
    other = build(seeds=1)
    other.splits["gt"].hash = "9" * 64
    found = document([build(), other])
    assert found["incomparable"] == []
    assert any("training data, split 'gt'" in notice for notice in found["notices"])
    assert any("seeds" in notice for notice in found["notices"])


def test_recipe_differences_have_dotted_keys() -> None:
    other = build()
    other.recipe["training"]["learning_rate"] = 1e-5
    del other.recipe["labels"]["filter"], other.recipe["labels"]["temperature"]
    differences = document([build(), other])["recipe_differences"]
    assert differences["training.learning_rate"] == {"A": "1e-06", "B": "1e-05"}
    assert differences["labels.temperature"] == {"A": '"none"', "B": "absent"}
    assert "labels.filter" not in differences  # null in one and not there in the other: the same
    assert "training.learning_rate" in printed(compare([build(), other]))


def test_rows_are_json_and_keep_nulls() -> None:
    other = build()
    other.arms = other.arms[:1]
    rows = json.loads(json.dumps(document([build(), other]), allow_nan=False))["rows"]
    assert len(rows) == 6 + 3
    undefined = next(row for row in rows if row["arm"] == "bootstrapped" and row["conflict"] == "implicit")
    nothing = {"estimate": None, "interval": None, "interval_in_seeds": None, "over": None}
    assert undefined["pgr"] == {**nothing, "note": "gap within noise"}
    assert {row["run"] for row in table([build(), other])} == {"A", "B"}
    assert "not in this run" in printed(compare([build(), other]))


def test_one_run_is_refused() -> None:
    with pytest.raises(W2SError, match="at least two runs"):
        compare([build()])
