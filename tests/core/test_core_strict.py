"""What a reader of a recipe's mistakes is told: the key, what its value should be, and what it is."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field

from w2s_pref.core.errors import W2SError
from w2s_pref.core.strict import Section, read_section


class Inner(Section):
    share: float = Field(0.5, gt=0.0, lt=1.0)
    kind: Literal["mean", "vote", "median"] = "mean"


class Outer(Section):
    needed: str
    count: int = Field(1, ge=1, le=3)
    even: int = Field(2, multiple_of=2)
    on: bool = True
    word: str = Field("a", pattern="^[a-z]+$", min_length=1, max_length=3)
    rows: list[int] = Field([1], min_length=1, max_length=2)
    inner: Inner = Inner()
    Named: dict[str, Inner] = Field(default_factory=dict)
    either: Inner | dict[str, Inner] = Inner()


CASES: list[tuple[dict[str, Any], str]] = [
    ({"count": 0}, "count: should be 1 or more, but this is 0"),
    ({"count": 4}, "count: should be 3 or less, but this is 4"),
    ({"count": 1.5}, "count: should be a whole number, but this is 1.5"),
    ({"count": True}, "count: should be a whole number, but this is true"),
    ({"count": "2"}, "count: '2' is text, not a number (numbers have no quotes and look as in JSON); write 2"),
    ({"even": 3}, "even: should be a multiple of 2, but this is 3"),
    ({"inner": {"share": 0}}, "inner.share: should be above 0.0, but this is 0"),
    ({"inner": {"share": 1.0}}, "inner.share: should be below 1.0, but this is 1.0"),
    ({"inner": {"share": float("nan")}}, "inner.share: should be a finite number, but this is nan"),
    ({"inner": {"share": []}}, "inner.share: should be a number, but this is []"),
    ({"inner": {"kind": "men"}}, "should be 'mean', 'vote' or 'median', but this is 'men'; did you mean 'mean'?"),
    ({"inner": {"kind": 7}}, "inner.kind: should be 'mean', 'vote' or 'median', but this is 7"),
    ({"inner": {"shre": 0.5}}, "inner: unknown key 'shre'; did you mean 'share'?"),
    ({"inner": 3}, "inner: should be a mapping of keys to values, but this is 3"),
    ({"on": "no"}, "on: should be true or false, but this is the text 'no'"),
    ({"word": 3}, "word: should be text, but this is 3"),
    ({"word": "B"}, "word: should match the pattern ^[a-z]+$, but this is 'B'"),
    ({"word": ""}, "word: should have 1 or more characters, but this is ''"),
    ({"word": "abcd"}, "word: should have 3 or fewer characters, but this is 'abcd'"),
    ({"rows": 3}, "rows: should be a list, but this is 3; write [3]"),
    ({"inner": None}, "inner: should be a mapping of keys to values, but this is null"),
    ({"rows": []}, "rows: should have 1 or more entries, but this is []"),
    ({"rows": [1, 2, 3]}, "rows: should have 2 or fewer entries, but this is [1, 2, 3]"),
    ({"rows": [None]}, "rows.0: should be a whole number, but this is null"),
    ({"Named": {"Mine": {"share": 2}}}, "Named.Mine.share: should be below 1.0, but this is 2"),
    ({"either": {"kind": "votes"}}, "either.kind: should be 'mean', 'vote' or 'median', but this is 'votes'"),
    ({"needed": None}, "needed: should be text, but this is null"),
]


@pytest.mark.parametrize(("value", "sentence"), CASES, ids=[sentence for _, sentence in CASES])
def test_a_mistake_is_a_sentence(value: dict[str, Any], sentence: str) -> None:
    with pytest.raises(W2SError) as caught:
        read_section(Outer, {"needed": "a"} | value, "study.yaml")
    assert any(said.startswith("study.yaml: ") and sentence in said for said in caught.value.problems)
    assert "Input" not in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(W2SError) as caught:
        read_section(Outer, {"count": 0, "on": 1}, "study.yaml")
    assert caught.value.problems == [
        "study.yaml: needed: is missing, and has no default",
        "study.yaml: count: should be 1 or more, but this is 0",
        "study.yaml: on: should be true or false, but this is 1",
    ]
