"""Finished runs as settings of the predictor study."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import study_tables

from w2s_pref.analysis.preferences.design import ArmDesign
from w2s_pref.analysis.risk.predictors import predictor_study
from w2s_pref.analysis.risk.settings import pipeline_of, settings_of_runs
from w2s_pref.core.errors import W2SError

ARMS = (ArmDesign("direct", ("m0", "m3")), ArmDesign("boot", ("m0", "m1", "m3")))
DESIGN = {
    "target": "harmless",
    "dataset": "testbed",
    "arms": {
        "direct": {"chain": ["m0", "m3"], "conflicts": ["none", "explicit"]},
        "boot": {"chain": ["m0@sft", "m1", "m3@dpo"], "conflicts": ["implicit"]},
    },
}


@pytest.fixture(scope="module")
def scores():
    table = study_tables(ARMS, items=60)[0]
    twin = table[table["model"] == "ceiling/m0"].assign(model="ceiling/m0@sft")
    return pd.concat([table, twin], ignore_index=True)


def test_every_arm_and_conflict_is_a_setting(scores):
    frame = settings_of_runs([("one", scores, DESIGN), ("two", scores, {**DESIGN, "dataset": "pku"})], "w", "s")
    labels = frame[["setting", "pipeline", "dataset"]].drop_duplicates()
    assert labels.to_numpy().tolist() == [
        ["one/direct/none", "reward>reward", "testbed"],
        ["one/direct/explicit", "reward>reward", "testbed"],
        ["one/boot/implicit", "sft>dpo", "testbed"],
        ["two/direct/none", "reward>reward", "pku"],
        ["two/direct/explicit", "reward>reward", "pku"],
        ["two/boot/implicit", "sft>dpo", "pku"],
    ]
    assert set(frame["objective"]) == {"harmless"}
    own = frame[frame["setting"] == "one/direct/explicit"]
    for role, model in (("w", "ceiling/m0"), ("s", "direct/explicit")):
        there = scores[(scores["model"] == model) & (scores["objective"] == "harmless")]
        assert np.array_equal(own.loc[own["model"] == role, "delta"], there["delta"])


def test_the_study_takes_them_and_says_what_they_share(scores):
    found = predictor_study(settings_of_runs([("one", scores, DESIGN)]), "weak", "strong", resamples=50)
    assert found["support"]["settings"] == 3
    assert found["pipelines"] == ["reward>reward", "sft>dpo"]
    assert any("3 settings, but 1 set of weak scores" in text for text in found["warnings"])
    assert set(found["signals"][0]["raw"]["leave_out"]) == {"pipeline"}


def test_settings_with_weak_models_of_their_own_are_not_warned_about(scores):
    other = scores.copy()
    other["delta"] += 0.1
    runs = [(name, table, {**DESIGN, "arms": {"direct": {"chain": ["m0", "m3"], "conflicts": ["none"]}}})
            for name, table in (("one", scores), ("two", other))]  # fmt: skip
    found = predictor_study(settings_of_runs(runs), "weak", "strong", resamples=50)
    assert not any("of weak scores" in text for text in found["warnings"])


def test_methods_of_the_ends_name_the_pipeline():
    assert pipeline_of(["weak", "strong"]) == "reward>reward"
    assert pipeline_of(["weak@sft", "middle@dpo", "strong@ppo"]) == "sft>ppo"


def test_what_is_not_there_is_refused(scores):
    with pytest.raises(W2SError, match="no runs given"):
        settings_of_runs([])
    with pytest.raises(W2SError, match="'one' is given twice"):
        settings_of_runs([("one", scores, DESIGN), ("one", scores, DESIGN)])
    wrong = {**DESIGN, "arms": {"direct": {"chain": ["m0", "m3"], "conflicts": ["absent"]}}}
    with pytest.raises(W2SError, match="run 'one': no scores of 'direct/absent'"):
        settings_of_runs([("one", scores, wrong)])
