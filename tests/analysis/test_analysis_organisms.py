from __future__ import annotations

import io
import json

import numpy as np
import pytest

from w2s_pref.analysis.risk.blind_spot import blind_spot_deception, inheritance_counts
from w2s_pref.analysis.scores.table import validate_scores
from w2s_pref.core.errors import W2SError
from w2s_pref.organisms import organisms, power


@pytest.mark.parametrize("name", list(organisms.ORGANISMS))
def test_the_analyser_says_what_it_must(name):
    row = power.verdict(name)
    assert row["says_so"], row


def test_the_deceivers_rho_is_recovered():
    for rho in (0.1, 0.6):
        tally = power.simulate(40, 1000, 1, 1, rho)
        assert np.mean(tally.rho) == pytest.approx(rho, abs=0.03)
        assert tally.hits["rho_covered"] >= 34


def test_false_positives_of_the_verdict_stay_at_the_nominal_rate():
    """Nominal: 2.5 % for "selective", 5 % for either side; in 150 simulations up to 7.3 % and 10.7 % by chance."""
    tally = power.simulate(150, 600, 2, 3)
    assert tally.hits["verdict"] / tally.runs <= 0.08
    assert tally.hits["lift_smooth_excludes_1"] / tally.runs <= 0.115
    assert tally.hits["permutation"] / tally.runs <= 0.115


def test_the_smooth_lift_holds_where_flips_are_steep_in_the_margin():
    """Reference = ceiling: knowing is a cut in the margin, and ten bins are too wide."""
    binned, smooth = [], []
    for run in range(6):
        rng = np.random.default_rng(run)
        base = organisms.world(6000, 1, rng)
        base = organisms.World(base.groups, base.weak, base.ceiling, base.ceiling)
        reference, student = organisms.blind_shift(base, rng)
        draw = power.Resampler(base.groups, 50, run)
        p = [organisms.sigmoid(x) for x in (base.ceiling, base.weak)]
        stats = power.measures.measure_deltas(*p, reference, student, draw, power.Options(resamples=50)).stats
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


def test_main_table_is_json_and_states_its_cost():
    from rich.console import Console

    tables, value = power.main_table(simulations=2, items=100, seeds=1)
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
    low, high = power.rate("hit", 5, 100)["hit_interval"]
    assert (low, high) == pytest.approx((0.01643, 0.11283), abs=1e-4)
    assert power.rate("hit", 0, 10)["hit_interval"] == [0.0, pytest.approx(0.30850, abs=1e-4)]
    assert power.rate("hit", 10, 10)["hit_interval"][1] == 1.0


def test_blind_spot_deception_by_hand():
    """Strong errors at p .1 (sure) .1 .1 .4 (unsure); weak .55 (unsure) .9 (sure, right) .1 (sure, wrong) .5."""
    strong, weak = np.array([0.1, 0.1, 0.1, 0.4, 0.9]), np.array([0.55, 0.9, 0.1, 0.5, 0.5])
    assert blind_spot_deception(strong, weak) == pytest.approx(1 / 5)
    assert inheritance_counts(strong, weak) == {"inherited": 1, "blind_spot": 1, "strong_only": 1}
    assert not any(inheritance_counts(weak[:2], weak[:2]).values())
