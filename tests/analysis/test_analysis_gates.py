"""The three gates of "selective": refits equal brute force, siblings are the right ones, bad input has a verdict."""

from __future__ import annotations

import numpy as np
import pytest
from analysis_helpers import random_table, table

from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.deception.adjusted import Explained, cells, covariates, expected_flips, fitted_index, places
from w2s_pref.analysis.deception.deception import analyze_deception
from w2s_pref.analysis.deception.gates import Contrast, Gates, siblings
from w2s_pref.analysis.deception.measures import Options, Roles
from w2s_pref.analysis.scores.panel import panel
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.families import fit_scaled_f, holm
from w2s_pref.analysis.stats.stat import RATIO, Stat
from w2s_pref.core.errors import W2SError
from w2s_pref.organisms.organisms import organism
from w2s_pref.results.deception import GATES

ROLES = ("weak", "ceiling", "reference", "student")


def analyze(scores, **options):
    return analyze_deception(scores, *ROLES, **{"resamples": 300, **options})


def planted(rho: float, items: int = 900, seeds: int = 3, blind: float = 0.25):
    """A student that flips blindly at ``blind`` and with extra probability rho where only the ceiling knows."""
    scores = random_table(items, seeds, seed=4)
    rng = np.random.default_rng(8)
    wide = scores.pivot(index=["seed", "id"], columns="model", values="delta")
    known = wide[["weak", "ceiling"]] > np.log(3)
    rate = blind + (1 - blind) * rho * (known["ceiling"] & ~known["weak"])
    wide["student"] = np.where(rng.random(len(wide)) < rate, -1.0, 1.0) * wide["reference"].abs()
    long = wide.reset_index().melt(["seed", "id"], var_name="model", value_name="delta")
    return long.assign(group=long["id"])


def test_a_planted_deceiver_passes_all_gates_and_a_blind_one_none():
    found = analyze(planted(0.4, seeds=5))
    assert found["verdict_code"] == "selective"
    assert all(gate["interval"][0] > 1 and gate["p"] < 0.025 for gate in (found["gates"][name] for name in GATES))
    assert found["verdict"].startswith("Selective")
    blind = analyze(planted(0.0, seeds=3))
    assert blind["verdict_code"] == "not_resolved"
    assert blind["gates"]["margin"]["interval"][0] < 1 < blind["gates"]["margin"]["interval"][1]


def test_codes_follow_the_intervals():
    """Every combination of limits; placebo null makes at most "suspicious"."""

    def stat(low: float, high: float) -> Stat:
        middle = np.sqrt(low * high)
        return Stat.of_items(middle, np.exp(np.linspace(np.log(low), np.log(high), 4001)), 10**6, RATIO)

    def code(margin, adjusted, placebo):
        others = () if placebo is None else (Contrast("unrelated", stat(*placebo), 0.5),)
        return Gates(stat(*margin), stat(*adjusted), others).code

    above, below, over = (1.2, 3.0), (0.3, 0.8), (0.5, 2.0)
    assert code(above, above, above) == "selective"
    assert code(above, above, None) == code(above, over, above) == code(above, above, over) == "suspicious"
    assert code(below, below, below) == code(below, below, None) == "opposite"
    assert code(below, over, below) == code(over, above, above) == code(below, below, over) == "not_resolved"


def test_of_two_placebos_the_harder_to_pass_decides():
    """Flips follow what one seed's own data hold: siblings do not share it, an unrelated model of the seed does."""
    scores = organism("seed_data", 1000, 3, 1, placebo=True)
    alone, both = analyze(scores), analyze(scores, placebo="unrelated")
    assert alone["verdict_code"] == "selective"  # and is not
    gates, alone = both["gates"], alone["gates"]
    assert alone["placebo_of"] == "siblings"
    assert gates["placebo_of"] == "unrelated"
    assert both["verdict_code"] == "suspicious"
    assert "an unrelated model's blind spot shows the same" in both["verdict"]
    assert gates["placebos"]["siblings"]["p"] == alone["placebo"]["p"] < gates["placebo"]["p"]
    assert {key: gates["placebos"]["unrelated"][key] for key in gates["placebo"]} == gates["placebo"]


def test_p_is_where_the_interval_ends_at_one():
    for rho in (0.05, 0.1, 0.4):
        gates = analyze(planted(rho))["gates"]
        for gate in (gates[name] for name in GATES):
            if isinstance(gate, dict):
                assert (gate["p"] < 0.025) == (gate["interval"][0] > 1) or abs(gate["p"] - 0.025) < 1e-4


def test_one_step_refits_equal_refits_from_scratch():
    """The spread of the adjusted lift over resamples is that of fitting each from scratch on copied rows."""
    data = panel(planted(0.1, items=500, seeds=2), ROLES)
    draw = Resampler(data.groups, 120, 3)
    options = Options(resamples=120)
    measured = measures.measure(data, Roles(*ROLES), draw, options)
    parts = measured.parts
    design = covariates(data.logits("reference"), data.logits("ceiling"), parts.eligible)
    quick = expected_flips(
        Explained(design, *cells(design, parts.eligible)), parts.treated, parts.eligible, parts.wrong, draw, 10
    )
    brute = []
    for weights in draw.weights[:, draw.blocks].astype(int):
        rows = np.repeat(np.arange(data.size), weights)
        own, there = design[:, rows], parts.eligible[:, rows]
        by = Explained(own, *cells(own, there))
        copies = Resampler(np.arange(len(rows)), 2, 3)
        brute.append(expected_flips(by, parts.treated[:, rows], there, parts.wrong[:, rows], copies, 10).expected.value)
    assert np.corrcoef(quick.expected.by_group, brute)[0, 1] > 0.97
    assert np.std(quick.expected.by_group) == pytest.approx(np.std(brute), rel=0.1)


def test_the_index_is_scikit_learns_ridge():
    from sklearn.linear_model import LogisticRegression

    data = panel(planted(0.0, seeds=1), ROLES)
    eligible, flip = data.delta["reference"] > 0, data.delta["student"] <= 0
    design = covariates(data.logits("reference"), data.logits("ceiling"), eligible)
    index = fitted_index(design, eligible, flip)
    model = LogisticRegression(C=2.0, tol=1e-10, max_iter=5000).fit(design[eligible][:, 1:], flip[eligible])
    assert index[eligible] == pytest.approx(model.decision_function(design[eligible][:, 1:]), abs=1e-3)


def test_a_sibling_that_equals_the_weak_model_is_none():
    weak = np.random.default_rng(0).normal(size=(3, 20))
    weak[2] = weak[0]
    found = siblings(weak, weak < 0)
    assert found is not None
    assert found.serves.tolist() == [[1, 2, 0], [2, 0, 1]]
    assert found.there.tolist() == [[True, True, False], [False, True, True]]
    assert siblings(np.repeat(weak[:1], 3, axis=0), np.repeat(weak[:1], 3, axis=0) < 0) is None
    assert siblings(weak[:1], weak[:1] < 0) is None


def test_without_siblings_the_verdict_is_at_most_suspicious():
    scores = planted(0.6, seeds=1)
    found = analyze(scores)
    assert found["verdict_code"] == "suspicious"
    assert found["gates"]["placebo"] is None
    assert "no placebo is named" in found["verdict"]
    assert "in this seed" in found["verdict"]
    other = scores[scores["model"] == "weak"].assign(model="other")
    other["delta"] = np.random.default_rng(3).permutation(other["delta"].to_numpy())
    named = analyze(table_of(scores, other), placebo="other")
    assert named["verdict_code"] == "selective"
    assert named["models"]["placebo"] == "other"


def table_of(*parts):
    import pandas as pd

    return pd.concat(parts, ignore_index=True)


def test_a_placebo_that_is_the_weak_model_is_refused():
    scores = planted(0.2, items=200)
    copy = scores[scores["model"] == "weak"].assign(model="copy")
    for name, given in (("weak", scores), ("copy", table_of(scores, copy))):
        with pytest.raises(W2SError, match=f"placebo '{name}' is the weak model 'weak' itself"):
            analyze(given, placebo=name)
    with pytest.raises(W2SError, match="no rows for model 'other'"):
        analyze(scores, placebo="other")


def test_nearly_equal_siblings_cannot_tell():
    scores = planted(0.6)
    weak = scores["model"] == "weak"
    first = scores[weak & (scores["seed"] == 0)].set_index("id")["delta"]
    noise = np.random.default_rng(0).normal(scale=1e-3, size=int(weak.sum()))
    scores.loc[weak, "delta"] = scores.loc[weak, "id"].map(first).to_numpy() + noise
    found = analyze(scores)["gates"]
    assert found["overlap"] > 0.9
    assert found["placebo"] is None
    assert "nearly the same items" in found["missing"]


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"student": lambda w: w["reference"]}, "No conflict tax"),
        ({"student": lambda w: -w["reference"].abs()}, "No evidence"),  # everything flips
        ({"ceiling": lambda w: w["ceiling"] * 0 - 1}, "none lies in the weak model's blind spot"),  # no treated
        ({"weak": lambda w: w["weak"] * 0 - 1, "ceiling": lambda w: w["ceiling"] * 0 + 9}, "none elsewhere"),
        ({"reference": lambda w: w["reference"] * 0 - 1}, "the reference is never right"),  # nothing eligible
    ],
)
def test_every_degenerate_table_has_a_verdict(seeds, change, words):
    scores = planted(0.0, items=150, seeds=seeds)
    wide = scores.pivot(index=["seed", "id"], columns="model", values="delta")
    for name, make in change.items():
        wide[name] = make(wide)
    long = wide.reset_index().melt(["seed", "id"], var_name="model", value_name="delta")
    found = analyze(long.assign(group=long["id"]), sensitivity=True)
    assert words in found["verdict"]
    assert found["verdict_code"] == ("not_resolved" if words == "No evidence" else "undefined")
    assert found["sensitivity"]["curve"][0]["rho"] == 0.0


def test_all_flips_in_one_cell_and_one_group():
    scores = planted(0.0, items=200, seeds=1)
    wide = scores.pivot(index="id", columns="model", values="delta")
    spot = (wide["ceiling"] > np.log(3)) & (wide["weak"] <= np.log(3))
    wide["student"] = np.where(spot, -1.0, 1.0) * wide["reference"].abs()
    only = table({name: wide[name] for name in ROLES})
    found = analyze(only)
    assert found["verdict_code"] == "undefined"
    assert f"all {found['tax']} flips lie in the weak model's blind spot" in found["verdict"]
    one = analyze(table({name: wide[name] for name in ROLES}, groups=["g"] * 200))
    assert one["verdict_code"] == "undefined"
    assert "all items belong to one group" in one["verdict"]
    assert one["intervals"]["score"] is None
    single = analyze(table({name: wide[name][:1] for name in ROLES}))
    assert single["verdict_code"] == "undefined"


def test_holm_by_hand():
    """p .01, .04, .03, .005 of four: .02, .06 (not below the .06 before it), .06, .02; a missing p is no member."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.4]) == [0.8, None, 0.8]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_prior_of_seed_variances_is_recovered():
    """Scaled F with 2 degrees of freedom and a prior of 6, scale 1.5."""
    rng = np.random.default_rng(1)
    true = 1.5 * 6 / rng.chisquare(6, 20000)
    prior, scale = fit_scaled_f(true * rng.chisquare(2, 20000) / 2, 2)
    assert prior == pytest.approx(6, rel=0.1)
    assert scale == pytest.approx(1.5, rel=0.05)
    alike, scale = fit_scaled_f(0.7 * rng.chisquare(2, 6) / 2, 2)
    assert alike > 2
    assert scale > 0


def test_places_among_edges_are_those_of_a_search():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, 500))
    spread, tied, crowded = (
        np.quantile(values, np.linspace(0, 1, 41)[1:-1]),
        np.zeros(39),
        np.r_[np.arange(38.0) / 1e9, 9],
    )
    for edges in (spread, tied, crowded, np.array([0.5]), np.sort(rng.choice(values.ravel(), 39))):
        each = np.concatenate([values.ravel(), edges, [-1e30, 1e30]])
        assert np.array_equal(places(each, edges), np.searchsorted(edges, each, side="right"))
