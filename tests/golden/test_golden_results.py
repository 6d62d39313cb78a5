"""The numbers and the form of what studies write are those written down in ``results``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from study_helpers import ANALYSES, REPIN, RUNS, differences, fits, pinned, shape


def say(lines: list[str]) -> str:
    return "\n".join([f"{len(lines)} differences", *lines[:20], REPIN])


@pytest.mark.parametrize("study", ANALYSES)
def test_the_analysis_of_kept_tables_gives_the_numbers_and_sentences_pinned(study: str) -> None:
    found = differences(pinned(study), ANALYSES[study]())
    assert not found, say(found)


@pytest.mark.parametrize("study", RUNS)
def test_a_run_from_end_to_end_is_the_one_pinned(study: str, tmp_path: Path) -> None:
    expected, found = pinned(study), RUNS[study](tmp_path)
    lines = differences(expected["facts"], found["facts"], ".facts") + fits(expected["shape"], found["shape"])
    lines += differences(expected["numbers"], found["numbers"], ".numbers")
    assert not lines, say(lines)


def test_the_comparison_sees_what_it_should() -> None:
    one: dict[str, Any] = {"a": [1.0, 2], "b": {"c": "text", "d": None}, "interval": [0.1, 0.2], "e": True}

    def found(**change: Any) -> list[str]:
        return differences(one, {**one, **change})

    assert not found()
    assert not found(a=[1.0 + 1e-10, 2], interval=[0.1 + 1e-6, 0.2])
    assert found(a=[1.0 + 1e-8, 2]) == [".a[0]: 1.0 → 1.00000001"]
    for a in ([1.0], [1.0, 2.0], [1.0, 3], [1, 2]):
        assert found(a=a)
    for b in ({"c": "Text", "d": None}, {"c": "text", "d": 0.0}):
        assert found(b=b)
    assert found(interval=[0.1, 0.201])
    assert found(e=1)
    assert found(b={"c": "text"}) == [".b.d: gone"]
    assert found(f=1) == [".f: new"]


def test_the_comparison_of_shapes_sees_keys_and_kinds() -> None:
    value = {"a": [{"b": 1, "c": None}, {"b": 2.0, "c": "x"}], "d": True, "e": []}
    known = shape(value)
    assert known == {"a": [{"b": "number", "c": "text"}], "d": "truth", "e": [None]}
    assert not fits(known, shape({**value, "e": [1], "d": None}))
    assert fits(known, shape({**value, "f": 1})) == [".f: new"]
    assert fits(known, shape({"a": [], "d": False})) == [".e: gone"]
    assert fits(known, shape({**value, "a": [{"b": "1", "c": None}]})) == ['.a[].b: "number" → "text"']
