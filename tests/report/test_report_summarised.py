"""results.json of many arms: figures keep some of their points and say so; small studies are written as ever."""

from __future__ import annotations

import json

import pytest

from w2s_pref.results import summarised as thinner
from w2s_pref.results.preferences import Results
from w2s_pref.studies import folder

from . import fixture


def test_a_small_study_is_written_as_ever() -> None:
    results = fixture.build()
    assert thinner.summarised(results) is results
    assert folder._written(results) == results.model_dump_json(indent=1)
    assert "summarised" not in results.model_dump()


def test_figures_of_many_arms_keep_some_points_and_no_number_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    results = fixture.build()
    monkeypatch.setattr(thinner, "POINTS", 10)
    monkeypatch.setattr(thinner, "LEAST", 3)
    monkeypatch.setattr(folder, "LARGE", 1000)
    text = folder._written(thinner.summarised(results))
    assert "\n" not in text
    found, whole = json.loads(text), results.model_dump(mode="json")
    assert Results.model_validate(found).model_dump(mode="json") == found
    points, steps = (
        sum(len(each.points) for each in results.region_maps),
        sum(len(each.step) for each in results.curves),
    )
    assert found.pop("summarised") == [
        f"region_maps: at most 3 points of each, {points:,} in all; scores.parquet has every item",
        f"curves: at most 3 steps of each, {steps:,} in all; history.json of a model has every step",
    ]
    for name, parts in (("region_maps", ["points"]), ("curves", ["step", "loss"])):
        for few, many in zip(found.pop(name), whole.pop(name), strict=True):
            for part in parts:
                kept, all_ = few.pop(part), many.pop(part)
                assert kept == (all_ if len(all_) <= 3 else [all_[0], all_[round((len(all_) - 1) / 2)], all_[-1]])
            assert few == many
    assert found == whole
