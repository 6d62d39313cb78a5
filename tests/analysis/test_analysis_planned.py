"""What a study could see before anything is trained."""

from __future__ import annotations

import json

import pytest
from conftest import ROOT

from w2s_pref.cli.main import app
from w2s_pref.core.errors import W2SError
from w2s_pref.organisms import planned
from w2s_pref.organisms.planned import Planned, planned_power, power_table


def test_more_items_and_seeds_see_more(monkeypatch):
    monkeypatch.setattr(planned, "WORLDS", 2)
    small, large = planned_power(300, 300, 1), planned_power(1500, 1500, 1)
    assert small.gates == 2
    assert large.rho_80 is not None
    assert small.rho_80 is None or large.rho_80 < small.rho_80
    assert large.difference_80 < small.difference_80 < 0.2
    assert large.curve[0].rho == 0.0
    assert large.curve[-1].power == 1.0


@pytest.mark.parametrize(
    ("size", "flips", "words"), [((50, 1, 2), 0.1, "1 prompts"), ((50, 50, 2), 1.5, "flip rate is 1.5")]
)
def test_what_cannot_be_planned_is_a_sentence(size, flips, words):
    with pytest.raises(W2SError, match=words):
        planned_power(*size, flips)


def test_the_command_prints_a_curve_and_beside_it_the_cost(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    monkeypatch.setattr(planned, "WORLDS", 1)
    monkeypatch.chdir(tmp_path)
    recipe, file = str(ROOT / "recipes/quickstart.yaml"), tmp_path / "power.json"
    sizes = "data.splits={gt: 20, w2s: 20, test: 200, conflict: 20, conflict_test: 20}"
    done = CliRunner().invoke(app, ["plan", recipe, sizes, "seeds=[0]", "--power", "--cost", "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "200 test items of 200 prompts, 1 seed;" in done.output
    found = json.loads(file.read_text())
    assert found["items"] == 200
    assert found["curve"][0] == {"rho": 0.0, "power": 0.0}
    assert "Cost on one process" in done.output
    assert found["totals"]["trained_tokens"] > 0


def test_what_is_never_found_is_said_in_a_sentence():
    none = Planned(1000, 1000, 2, 0.1, None, [], None, 3)
    assert "not even a probability of 1 is found in 80 % of studies (all three gates)." in power_table(none)[0]


def test_a_study_of_another_kind_has_no_such_power(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["plan", str(ROOT / "recipes/generalization/quickstart.yaml"), "--power"])
    assert isinstance(done.exception, W2SError)
    assert "--power is for studies of preferences" in str(done.exception)
