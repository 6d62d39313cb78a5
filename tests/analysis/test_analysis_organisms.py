from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from w2s_pref.analysis.deception.measures import Options, measure_deltas
from w2s_pref.analysis.risk.blind_spot import blind_spot_deception, inheritance_counts
from w2s_pref.analysis.scores.table import validate_scores
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.core.errors import W2SError
from w2s_pref.organisms import organisms, power, worlds
from w2s_pref.organisms.confounded import CONFOUNDED, CORRELATIONS, blind, difficulty
from w2s_pref.organisms.flips import SeedEffect
from w2s_pref.organisms.simulation import Case, rate, simulate, simulate_all
from w2s_pref.organisms.verdicts import verdict


@pytest.mark.parametrize("name", list(organisms.ORGANISMS))
def test_the_analyser_says_what_it_must(name):
    row = verdict(name)
    assert row["says_so"], row


def test_the_deceivers_rho_is_recovered():
    for rho in (0.1, 0.6):
        tally = simulate(Case("deceiver", seeds=1, rho=rho, resamples=60), range(40), 1)
        assert np.mean(tally.rho) == pytest.approx(rho, abs=0.03)
        assert tally.hits["rho_covered"] >= 34


def test_false_positives_of_the_verdict_stay_at_the_nominal_rate():
    """Nominal: 2.5 % for the margin gate, 5 % for either side; in 100 simulations up to 8 % and 13 % by chance."""
    tally = simulate(Case("blind", items=600, seeds=2, resamples=100), range(100), 3)
    assert tally.hits["siblings"] <= tally.hits["margin"] <= 8
    assert tally.hits["smooth_off_1"] <= 13
    assert tally.hits["permutation"] <= 13


@pytest.mark.parametrize("name", ["difficulty", "confident", "easy", "overruled"])
def test_margins_alone_are_fooled_and_three_gates_are_not(name):
    """Of 6 tables each. Margins pass in 2.5 % of honest tables, so two or more happen in one case of a hundred; all
    gates in at most 5 %, so two or more happen in one case of thirty."""
    tally = simulate(Case(name, resamples=80), range(6), 4)
    assert tally.hits["margin"] >= 2
    assert tally.hits["siblings"] <= 1


@pytest.mark.parametrize("name", list(CONFOUNDED))
def test_no_confounded_student_looks_at_the_weak_model(name):
    base = CONFOUNDED[name].draw(200, 2, np.random.default_rng(0))
    other = replace(base, weak=-base.weak[:, ::-1])
    one, two = (CONFOUNDED[name].student(each, np.random.default_rng(1)) for each in (base, other))
    assert np.array_equal(one, two)
    assert (one[1] != one[0]).mean() > 0.03


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_weak_models_correlate_with_the_ceiling_as_asked(correlation):
    base = worlds.correlated_world(20_000, 1, np.random.default_rng(0), correlation=correlation)
    for weak in (base.weak, base.unrelated):
        assert np.corrcoef(weak[0], base.ceiling[0])[0, 1] == pytest.approx(correlation, abs=0.03)
        assert (weak > 0).mean() == pytest.approx(0.69, abs=0.02)


def test_weak_models_of_other_seeds_know_other_things_equally_well():
    base = worlds.world(20_000, 2, np.random.default_rng(0))
    known = sigmoid(base.weak) >= 0.75
    assert known[0].mean() == pytest.approx(known[1].mean(), abs=0.01)
    assert 0.15 < (known[0] != known[1]).mean() < 0.35


@pytest.mark.parametrize("sd", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("rate_of", [blind, organisms.blind_shift, difficulty])
def test_seeds_differ_in_accuracy_as_asked(rate_of, sd):
    """600 seeds know a standard deviation to 3 %, the 2,000 flip rates it is found from to some more."""
    rng = np.random.default_rng(0)
    base = worlds.world(300, 600, rng)
    right = base.reference > 0
    lost = SeedEffect(sd=sd).rates(rate_of(base, rng), right, rng) * right
    usual = rate_of(base, rng) * right
    assert (lost.mean(axis=1) - usual.mean(axis=1)).std() == pytest.approx(sd, rel=0.15)


def test_collapsed_and_idle_seeds_are_as_many_as_asked():
    rng = np.random.default_rng(0)
    rates = SeedEffect(collapse=0.3).rates(np.full((400, 5), 0.1), np.ones((400, 5), bool), rng)
    assert (rates == 0.9).all(axis=1).mean() == pytest.approx(0.3, abs=0.08)
    assert ((rates == 0.9) | (rates == 0.1)).all()
    assert (SeedEffect(idle=0.3).rhos(0.2, 400, rng) == 0).mean() == pytest.approx(0.3, abs=0.08)
    spread = SeedEffect(rho=0.5).rhos(0.2, 4000, rng)
    assert np.log(spread).std() == pytest.approx(0.5, abs=0.05)
    assert spread.max() <= 1


def test_impossible_seed_effects_are_refused():
    with pytest.raises(W2SError, match="sd is 2"):
        SeedEffect(sd=2.0)
    with pytest.raises(W2SError, match="honest"):
        organisms.organism("honest", 40, effect=SeedEffect(sd=0.1))
    with pytest.raises(W2SError, match="too few items can flip"):
        SeedEffect(sd=0.4).rates(np.full((2, 50), 0.1), np.tile(np.arange(50) < 5, (2, 1)), np.random.default_rng(0))


def test_simulations_do_not_depend_on_the_number_of_processes():
    cases, heard = [Case("blind", items=60, seeds=2), Case("deceiver", items=60, seeds=2, rho=0.5)], []
    one, two = (simulate_all(cases, 12, 5, workers, heard.append) for workers in (1, 2))
    assert one == two
    assert [tally.runs for tally in one] == [12, 12]
    assert heard[-1] == "4 of 4 batches of simulations"


def test_the_smooth_lift_holds_where_flips_are_steep_in_the_margin():
    """Reference = ceiling: knowing is a cut in the margin, and ten bins are too wide."""
    binned, smooth = [], []
    for run in range(6):
        rng = np.random.default_rng(run)
        base = worlds.world(6000, 1, rng)
        base = replace(base, reference=base.ceiling)
        reference, student = organisms.ORGANISMS["blind_shift"].student(base, rng)
        draw = Resampler(base.groups, 50, run)
        p = [sigmoid(x) for x in (base.ceiling, base.weak)]
        stats = measure_deltas(*p, reference, student, draw, Options(resamples=50)).stats
        binned.append(stats["lift"].value)
        smooth.append(stats["lift_smooth"].value)
    assert np.mean(binned) < 0.85
    assert abs(np.mean(smooth) - 1) < 0.2


def test_tables_are_valid_seeded_and_clustered():
    one, two, other = (organisms.organism("deceiver", 60, 3, s, rho=0.5) for s in (1, 1, 2))
    assert one.equals(two)
    assert not one.equals(other)
    clean = validate_scores(one)
    assert sorted(clean["model"].unique()) == sorted(organisms.MODELS)
    assert clean["group"].nunique() == 30
    assert clean["seed"].nunique() == 3
    with pytest.raises(W2SError, match="unknown"):
        organisms.organism("liar")
    assert set(organisms.organism("blind", 20, placebo=True)["model"]) == {*organisms.MODELS, organisms.PLACEBO}


def test_main_table_is_json_and_states_its_cost(monkeypatch):
    from rich.console import Console

    monkeypatch.setattr(power, "verdict", lambda name, seed: verdict(name, 300, 2, seed))
    tables, value = power.main_table(simulations=2, items=60, seeds=2)
    found = json.loads(json.dumps(value, allow_nan=False))
    console = Console(width=240, record=True, file=io.StringIO())
    console.print(*tables)
    text = console.export_text()
    assert "2 simulations" in text
    assert all(name in text for name in organisms.ORGANISMS)
    assert found["settings"]["simulations"] == 2
    assert [row["organism"] for row in found["organisms"]] == list(organisms.ORGANISMS)
    assert all(row["simulations"] == 2 for row in found["false_positives"])
    assert [row["rho"] for row in found["power_rho"]] == list(power.RHOS)
    assert [row["items"] for row in found["power_tax"]] == list(power.TAX_ITEMS)


def test_binomial_limits():
    low, high = rate("hit", 5, 100)["hit_interval"]
    assert (low, high) == pytest.approx((0.01643, 0.11283), abs=1e-4)
    assert rate("hit", 0, 10)["hit_interval"] == [0.0, pytest.approx(0.30850, abs=1e-4)]
    assert rate("hit", 10, 10)["hit_interval"][1] == 1.0


def test_blind_spot_deception_by_hand():
    """Strong errors at p .1 (sure) .1 .1 .4 (unsure); weak .55 (unsure) .9 (sure, right) .1 (sure, wrong) .5."""
    strong, weak = np.array([0.1, 0.1, 0.1, 0.4, 0.9]), np.array([0.55, 0.9, 0.1, 0.5, 0.5])
    assert blind_spot_deception(strong, weak) == pytest.approx(1 / 5)
    assert inheritance_counts(strong, weak) == {"inherited": 1, "blind_spot": 1, "strong_only": 1}
    assert not any(inheritance_counts(weak[:2], weak[:2]).values())
