"""``bf16: auto`` becomes what one measurement says, once, and then counts as if it had been written."""

from __future__ import annotations

import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.studies.run import open_recipe
from w2s_pref.training import precision
from w2s_pref.training.precision import Timings, resolved

SLOW, FAST = Timings("here", 0.002, 0.009), Timings("here", 0.009, 0.002)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("W2S_CACHE", str(tmp_path))
    return tmp_path


def test_auto_is_what_was_measured_wherever_trainer_arguments_stand():
    raw = {
        "training": {"bf16": "auto", "batch_size": 4},
        "models": {"weak": {"path": "auto", "training": {"bf16": "auto"}}, "strong": {"training": {"bf16": False}}},
        "methods": {
            "dpo": {"sft": {"bf16": "auto"}, "options": {"bf16": "auto"}},
            "macpo": {"negative": {"bf16": "auto"}},
        },
        "ladder": [{"training": {"bf16": "auto"}}, "auto"],
        "seeds": [0],
    }
    found, notes = resolved(raw, lambda: FAST)
    assert found == {
        "training": {"bf16": True, "batch_size": 4},
        "models": {"weak": {"path": "auto", "training": {"bf16": True}}, "strong": {"training": {"bf16": False}}},
        "methods": {"dpo": {"sft": {"bf16": True}, "options": {"bf16": "auto"}}, "macpo": {"negative": {"bf16": True}}},
        "ladder": [{"training": {"bf16": True}}, "auto"],
        "seeds": [0],
    }
    assert "auto is true on here" in notes[0]
    assert "9 ms in float32 and 2 ms in bfloat16" in notes[0]
    assert resolved(raw, lambda: SLOW)[0]["training"]["bf16"] is False


def test_nothing_is_measured_where_nothing_asks():
    def never() -> Timings:
        raise AssertionError

    raw = {"training": {"bf16": True}, "name": "auto"}
    assert resolved(raw, never) == (raw, [])


@pytest.mark.parametrize(("times", "bf16"), [((3.0, 2.0), True), ((2.9, 2.0), False), ((1.0, 6.0), False)])
def test_bfloat16_must_be_half_as_fast_again(times, bf16):
    assert Timings("here", *times).bf16 is bf16


def test_a_machine_measures_once(cache, monkeypatch):
    monkeypatch.setattr(precision, "measure", lambda place, name: FAST)
    assert precision.remembered() == FAST
    monkeypatch.setattr(precision, "measure", lambda place, name: SLOW)  # a plan, and a run an hour later
    assert precision.remembered() == FAST
    assert [file.suffix for file in (cache / "bf16").iterdir()] == [".json"]


def test_the_key_is_that_of_the_written_value(cache, monkeypatch):
    monkeypatch.setattr(precision, "measure", lambda place, name: FAST)
    recipe = {
        "name": "small",
        "seeds": [0],
        "data": {"target": {"source": "testbed", "objective": "harmless"}, "splits": {"gt": 8, "w2s": 8, "test": 8}},
        "models": {"weak": {"path": "ladder/xxs"}, "strong": {"path": "ladder/xs"}},
        "conflict": {"settings": ["none"]},
    }
    opened = {value: open_recipe({**recipe, "training": {"bf16": value}}, []) for value in ("auto", True, False)}
    keys = {value: [stage.key for stage in each.stages] for value, each in opened.items()}
    assert keys["auto"] == keys[True] != keys[False]
    assert [len(each.notes) for each in opened.values()] == [1, 0, 0]


def test_launches_that_could_not_agree_are_refused(monkeypatch):
    raw = {"training": {"bf16": "auto"}}
    with pytest.raises(W2SError, match="beside fp16"):
        resolved({"training": {"bf16": "auto", "fp16": True}}, lambda: FAST)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(W2SError, match="several machines"):
        resolved(raw, lambda: FAST)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert resolved(raw, lambda: FAST)[0] == {"training": {"bf16": True}}
