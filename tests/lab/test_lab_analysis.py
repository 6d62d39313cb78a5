"""The laboratory's analysis on answers whose truth is known: by hand, and by what every number must satisfy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from w2s_pref.analysis.lab.cells import Answers, Case, slope, weighted_area
from w2s_pref.analysis.lab.disagreement import by_spread
from w2s_pref.analysis.lab.studies import parts
from w2s_pref.analysis.lab.study import learning_curves, summarize
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.errors import W2SError
from w2s_pref.losses.spec import LossSpec
from w2s_pref.report.lab.studies import BARS
from w2s_pref.studies.generalization.config import MethodConfig

SETTINGS: dict[str, Any] = {
    "resamples": 200,
    "seed": 0,
    "models": {"w": 10, "m": 100, "s": 1000},
    "methods": {"probe": "probe", "conf": "probe"},
    "losses": {"probe": LossSpec.model_validate({"name": "xent"}).name, "conf": "aux_confidence"},
}


def answers(right: dict[str, float], items: int = 200, seeds: int = 3, task: str = "t", rng: int = 0) -> pd.DataFrame:
    """Classifiers that are right with given probabilities, sure of themselves by a random amount."""
    draw = np.random.default_rng(rng)
    truth = np.arange(items) % 2
    parts = []
    for name, share in right.items():
        for seed in range(seeds):
            correct = draw.random(items) < share
            p = 0.5 + (draw.random(items) * 0.49 + 0.005) * np.where(correct, 1, -1) * (2 * truth - 1)
            ids = [f"i{at}" for at in range(items)]
            parts.append(pd.DataFrame({"id": ids, "group": ids, "truth": truth, "name": name, "seed": seed, "p": p}))
    return pd.concat(parts).assign(task=task, split="test")


def cell(
    student: str, study: str = "grid", method: str = "probe", chain: str = "w>s", task: str = "t"
) -> dict[str, str]:
    return {
        "study": study,
        "task": task,
        "chain": chain,
        "method": method,
        "weak": "floor",
        "student": student,
        "ceiling": "ceiling",
    }


SHARES = {"floor": 0.65, "student": 0.8, "ceiling": 0.95}


def body(table: pd.DataFrame, cells: list[dict[str, str]], curves: pd.DataFrame | None = None) -> Any:
    return summarize(table, pd.DataFrame(cells), pd.DataFrame() if curves is None else curves, SETTINGS)


def test_accuracies_and_the_gap_recovered_are_those_of_the_table() -> None:
    table = answers(SHARES, items=400)
    (found,) = body(table, [cell("student")]).cells
    right = ((table["p"] > 0.5) == (table["truth"] == 1)).groupby(table["name"]).mean()
    for role, name in (("weak", "floor"), ("student", "student"), ("ceiling", "ceiling")):
        assert found.accuracy[role].value == pytest.approx(right[name])
        assert found.accuracy[role].low < right[name] < found.accuracy[role].high
    pgr = (right["student"] - right["floor"]) / (right["ceiling"] - right["floor"])
    assert found.pgr.value == pytest.approx(pgr)
    assert (found.items, found.seeds, found.note, found.weak_at_chance) == (400, 3, None, False)


def test_both_readings_stand_in_every_number_and_differences_stay_in_range() -> None:
    """Students that differ by seed: wider over seeds; of one seed the two readings are one, and it is said."""
    parts = [answers({**SHARES, "student": share}, seeds=1, rng=n) for n, share in enumerate((0.3, 0.9, 0.6))]
    table = pd.concat([part.assign(seed=n) for n, part in enumerate(parts)])
    found = body(table, [cell("student"), cell("floor", method="conf")])
    accuracy, gained = found.cells[0].accuracy["student"], found.contrasts[0].difference
    for each in (accuracy, gained, found.medians[0].accuracy["student"]):
        here = each.interval_in_seeds
        assert each.low < here[0] < each.value < here[1] < each.high
    assert accuracy.low >= 0
    assert -1 <= gained.low < gained.high <= 1
    assert any("failure rates up to 63 %" in line for line in found.warnings)
    assert any("Seeds disagree on the accuracy of student on t" in line for line in found.warnings)
    alone = body(parts[0], [cell("student")])
    assert alone.cells[0].accuracy["student"].interval == alone.cells[0].accuracy["student"].interval_in_seeds
    assert any("in this seed" in line for line in alone.warnings)


def test_areas_equal_scikit_learn_also_with_ties_and_weights() -> None:
    draw = np.random.default_rng(1)
    p, truth = draw.integers(0, 6, 60) / 6, draw.integers(0, 2, 60)
    weights = draw.integers(0, 3, (4, 60)).astype(float)
    expected = [roc_auc_score(truth, p, sample_weight=row) for row in weights]
    assert weighted_area(p, truth, weights) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(weighted_area(p, np.ones(60, dtype=np.int64), weights)).all()
    table = answers(SHARES)
    one = Answers(table, 50, 0).auroc("student")
    each = [roc_auc_score(rows["truth"], rows["p"]) for _, rows in table[table["name"] == "student"].groupby("seed")]
    assert one.value == pytest.approx(np.mean(each))


def test_without_a_gap_there_is_no_number_and_it_is_counted() -> None:
    found = body(answers({"floor": 0.8, "student": 0.8, "ceiling": 0.8}), [cell("student")])
    assert found.cells[0].pgr.value is None
    assert found.cells[0].note is not None
    assert found.cells[0].pgr_auroc.value is None
    assert (found.medians[0].without_gap, found.medians[0].pgr.value) == (1, None)
    assert any("1 of 1 cells of the grid have no gap" in line for line in found.warnings)


def test_a_weak_model_at_chance_is_said() -> None:
    found = body(answers({**SHARES, "floor": 0.5}), [cell("student")])
    assert found.cells[0].weak_at_chance
    assert "not resolved above chance" in found.warnings[0]


def test_weak_models_at_chance_are_counted_with_their_tasks() -> None:
    table = pd.concat([answers({**SHARES, "floor": 0.5}, task=task, rng=n) for n, task in enumerate("ab")])
    found = body(table, [cell("student", task=task) for task in "ab"]).warnings[0]
    assert found.startswith("2 pairs of weak model and task are not resolved above chance")
    assert found.endswith("floor on a, floor on b")


def test_what_has_no_interval_is_undefined_and_not_counted_as_not_resolved() -> None:
    """A weak model that is never wrong has no errors to copy; one group of items has no interval of anything."""
    never = body(answers({**SHARES, "floor": 1.0, "large": 0.9}), [cell("student", chain=c) for c in ("w>m", "w>s")])
    assert never.verdict[-1].endswith("they copy more in 0; not resolved in 0, undefined in 1.")
    cells = [cell("student"), cell("bold", method="conf")]
    table = answers({**SHARES, "bold": 0.9})
    assert ": 1 better, 0 worse, 0 not resolved." in body(table, cells).verdict[-1]
    alone = body(table.assign(group="one"), cells).verdict
    assert ": 0 better, 0 worse, 0 not resolved, 1 undefined." in alone[-1]


def test_the_median_over_tasks_leaves_tasks_without_a_gap_out() -> None:
    shares = {"a": 0.7, "b": 0.8, "c": 0.9}
    tables = [answers({**SHARES, "student": x}, 400, task=t, rng=n) for n, (t, x) in enumerate(shares.items())]
    tables.append(answers({"floor": 0.7, "student": 0.7, "ceiling": 0.7}, 400, task="d", rng=9))
    found = body(pd.concat(tables), [cell("student", task=task) for task in "abcd"])
    known = [each.pgr.value for each in found.cells[:3]]
    assert found.medians[0].pgr.value == pytest.approx(np.median(known))
    assert (found.medians[0].tasks, found.medians[0].without_gap) == (4, 1)
    assert found.medians[0].accuracy["weak"].value == pytest.approx(
        np.mean([each.accuracy["weak"].value for each in found.cells])
    )


def test_a_method_is_compared_with_plain_cross_entropy_item_by_item() -> None:
    table = answers({**SHARES, "bold": 0.9}, 400)
    found = body(table, [cell("student"), cell("bold", method="conf")])
    (one,) = found.contrasts
    assert (one.study, one.method, one.against, one.strong_parameters) == ("confidence", "conf", "probe", 1000)
    assert one.difference.value == pytest.approx(
        found.cells[1].accuracy["student"].value - found.cells[0].accuracy["student"].value
    )
    assert one.difference.side() != 0


def test_methods_with_labels_of_their_own_are_not_plain() -> None:
    """Whatever stands first: true labels among the weak ones, a filter, a pool, texts that are read before."""
    assert MethodConfig().plain
    assert MethodConfig(loss={"name": "product"}).plain
    for own in (
        {"ground_truth": 5},
        {"filter": "high_confidence"},
        {"labels": "hard"},
        {"ensemble": 2},
        {"two_stage": True},
    ):
        assert not MethodConfig.model_validate(own).plain


def test_bootstrapped_chains_stand_against_the_direct_one() -> None:
    cells = [cell("student", "bootstrapping"), cell("student", "bootstrapping", chain="w>m>s")]
    (one,) = body(answers(SHARES), cells).contrasts
    assert (one.chain, one.against, one.difference.value) == ("w>m>s", "w>s", 0.0)
    assert one.difference.side() == 0


def test_variants_stand_against_their_reference() -> None:
    table = answers({**SHARES, "noisy": 0.9})
    cells = [cell("student", "noise", "supervisor"), cell("noisy", "noise", "random")]
    real, noisy = body(table, cells).bars
    assert (real.over, noisy.over) == (None, "supervisor")
    assert noisy.difference.value == pytest.approx(noisy.accuracy.value - real.accuracy.value)
    assert noisy.weak.value < noisy.accuracy.value < noisy.ceiling.value


def test_a_variant_on_other_tasks_is_not_the_reference() -> None:
    table = pd.concat([answers({**SHARES, "noisy": 0.9}, task=task) for task in ("t", "u")])
    cells = [cell("student", "noise", "supervisor"), *(cell("noisy", "noise", "random", task=t) for t in ("t", "u"))]
    real, noisy = body(table, cells).bars
    assert (real.over, noisy.over, noisy.difference.value) == (None, "supervisor", None)
    (against,) = [column for column in BARS if column.head == "Over the reference"]
    assert [against.get(each).absent for each in (real, noisy)] == ["reference", "other tasks"]


def test_students_that_are_told_the_label_stand_against_those_that_are_not() -> None:
    table = answers({**SHARES, "told": 0.7})
    cells = [cell("student"), cell("student", chain="m>s"), cell("told", "imitation")]
    plain, told = body(table, cells).bars
    assert (plain.variant, told.variant, told.over) == ("probe, label not told", "probe", "probe, label not told")
    assert (plain.chain, plain.agreement.value) == ("w>s", body(table, cells).cells[0].agreement["overall"].value)
    assert told.difference.value == pytest.approx(told.accuracy.value - plain.accuracy.value)
    assert [each.variant for each in body(table, cells[2:]).bars] == ["probe"]


def test_difficulty_by_hand() -> None:
    """Six items: 0 where the weak model favours the true answer most, 2 where it favours the wrong one."""
    assert parts(np.array([[0.4, -0.3, 0.1, 0.3, -0.4, 0.2], [0, 0, 0, 0, 0, 0]])).tolist() == [
        [0, 2, 1, 0, 2, 1],
        [0, 0, 1, 1, 2, 2],
    ]


def test_easy_to_hard_is_tested_by_difficulty() -> None:
    """The weak model is all right on what it finds easy; a student that is its copy is too, one that is not is even."""
    table = answers({**SHARES, "random": 0.8}, items=300)
    copy = table[table["name"] == "floor"].assign(name="easy")
    cells = [cell(name, "easy_to_hard", name) for name in ("easy", "random")]
    easy, random, everything = body(pd.concat([table, copy]), cells).difficulties
    assert [each.variant for each in (easy, random, everything)] == ["easy", "random", "all items"]
    assert easy.thirds[0].value == 1.0
    assert easy.thirds[2].value < 0.1
    for each, name in ((easy, "floor"), (random, "random"), (everything, "ceiling")):
        right = ((table["p"] > 0.5) == (table["truth"] == 1))[table["name"] == name].mean()
        assert np.mean([third.value for third in each.thirds]) == pytest.approx(right)
    assert min(third.value for third in random.thirds) > 0.7
    half = summarize(pd.concat([table, copy]), pd.DataFrame(cells), pd.DataFrame(), {**SETTINGS, "ceiling": "gt"})
    assert [each.variant for each in half.difficulties] == ["easy", "random", "half A"]


def test_what_selection_brings() -> None:
    table = pd.concat(
        [answers(SHARES), answers({"student#final": 0.8, "student#best_weak": 0.85, "student#best_truth": 0.9}, rng=1)]
    )
    (one,) = body(table, [cell("student")]).selections
    assert one.gained.value == pytest.approx(one.best_weak.value - one.final.value)
    assert one.lost_to_oracle.value == pytest.approx(one.oracle_best_truth.value - one.best_weak.value)


def test_the_slope_over_sizes_by_hand() -> None:
    values = [Stat.of_items(value, np.full(3, value), 10) for value in (0.3, 0.2, 0.1)]
    assert slope([1, 2, 3], values).value == pytest.approx(-0.1)
    assert np.isnan(slope([2, 2], values[:2]).value)
    table = answers({**SHARES, "large": 0.9})
    found = body(table, [cell("student", chain="w>m"), cell("large", chain="w>s")])
    inherited = next(each for each in found.trends if each.quantity == "inherited")
    assert inherited.sizes == [100, 1000]
    assert inherited.slope.value == pytest.approx(inherited.values[1].value - inherited.values[0].value)


def test_copying_less_is_not_agreeing_less() -> None:
    """The large student corrects errors; the other large one answers by a coin, so it corrects as many as it makes."""
    table = answers({"floor": 0.7, "ceiling": 0.95, "coin": 0.5}, items=600)
    truth, floor = table["truth"] == 1, table[table["name"] == "floor"]
    wise = floor.assign(name="wise", p=np.where(truth[table["name"] == "floor"], 0.9, 0.1))
    small = floor.assign(name="student")
    table = pd.concat([table, wise, small])
    for large, sentence in (("wise", "yes in 1; in 0 they also"), ("coin", "yes in 0; in 1 they also")):
        found = body(table, [cell("student", chain="w>m"), cell(large, chain="w>s")])
        assert all(each.slope.side() for each in found.trends[:2])
        assert sentence in found.verdict[-1]


def test_curves_are_means_over_tasks_and_seeds_on_a_common_grid() -> None:
    curves = pd.DataFrame(
        {
            "task": "t",
            "name": "student",
            "seed": [0, 0, 1, 1],
            "progress": [0.0, 1.0, 0.0, 0.5],
            "weak_agreement": [0.5, 0.7, 0.5, 0.9],
            "truth_accuracy": [np.nan] * 4,
        }
    )
    cases = [Case(**cell("student"), answers=Answers(answers(SHARES), 10, 0))]
    (one,) = learning_curves(curves, cases)
    assert (one.runs, len(one.points), one.points[0].weak_agreement) == (2, 41, 0.5)
    assert one.points[20].weak_agreement == pytest.approx((0.6 + 0.9) / 2)
    assert one.points[-1].weak_agreement == pytest.approx((0.7 + 0.9) / 2)
    assert one.points[0].truth_accuracy is None
    assert learning_curves(pd.DataFrame(), cases) == []


def test_answers_that_are_missing_or_no_probabilities_are_refused() -> None:
    table = answers(SHARES)
    with pytest.raises(W2SError, match="no answers of 'else'"):
        body(table, [cell("else")])
    with pytest.raises(W2SError, match="not a probability for every item"):
        body(table.iloc[1:], [cell("student")])
    with pytest.raises(W2SError, match="task 'u' has no answers"):
        body(table, [cell("student", task="u")])


def test_nothing_but_the_test_split_is_judged() -> None:
    table = answers(SHARES)
    other = table.assign(split="validation", p=0.0)
    assert body(pd.concat([table, other]), [cell("student")]) == body(table, [cell("student")])


def test_accuracy_by_disagreement_by_hand() -> None:
    """Six items, two a third by spread; two seeds, of which the second has everything right."""
    spread, p_true = [0.3, 0.0, 0.1, 0.2, 0.05, 0.4], [0.9, 0.5, 0.2, 0.6, 0.7, 0.1]
    truth, p = [1, 0, 1, 0, 1, 0], [0.9, 0.9, 0.5, 0.1, 0.8, 0.7]
    labels, answered = [], []
    for seed in (0, 1):
        own = {"task": "t", "name": "s", "seed": seed, "id": [*"abcdef"], "spread": spread, "group": [*"abcdef"]}
        labels += [pd.DataFrame({**own, "keep": True, "split": split, "p_true": [1.0] * 6 if seed else p_true})
                   for split in ("w2s", "test")]  # fmt: skip
        said = [float(each) for each in truth] if seed else p
        answered += [pd.DataFrame({**own, "split": "test", "truth": truth, "p": said})]
    parts = by_spread(pd.concat(labels), pd.concat(answered), 200, 0)
    found = pd.DataFrame([{"third": each.part, "spread": each.spread} | {name: getattr(each, name).estimate for name in
                          ("label_accuracy", "student_accuracy")} for each in parts]).set_index("third")  # fmt: skip
    # agree: b (a half, wrong) and e (right, right); between: c (wrong, a half), d (right, right); else a and f
    assert found["spread"].iloc[:3].to_dict() == pytest.approx({"agree": 0.025, "between": 0.15, "disagree": 0.35})
    labelled = {"agree": (0.75 + 1) / 2, "between": (0.5 + 1) / 2, "disagree": (0.5 + 1) / 2}
    labelled["difference"] = labelled["disagree"] - labelled["agree"]
    assert found["label_accuracy"].to_dict() == pytest.approx(labelled)
    student = {"agree": (0.5 + 1) / 2, "between": (0.75 + 1) / 2, "disagree": (0.5 + 1) / 2}
    student["difference"] = 0.0
    assert found["student_accuracy"].to_dict() == pytest.approx(student)


def test_a_spread_that_says_nothing_has_a_difference_of_zero_and_one_that_tells_has_not() -> None:
    """Labels are right where a spread is small in the one case, anywhere in the other; intervals say which."""
    draw, sides = np.random.default_rng(0), {}
    for case in ("tells", "nothing"):
        tables = []
        for seed in (0, 1, 2):
            spread = draw.random(600) / 2
            right = draw.random(600) < (1 - spread if case == "tells" else 0.75)
            own = {"task": "t", "name": "s", "seed": seed, "id": range(600), "group": range(600), "spread": spread}
            tables += [pd.DataFrame({**own, "keep": True, "split": split, "p_true": right.astype(float)})
                       for split in ("w2s", "test")]  # fmt: skip
        labels = pd.concat(tables)
        test = labels[labels["split"] == "test"]
        answers = test.assign(truth=1, p=test["p_true"])[["task", "name", "seed", "id", "split", "truth", "p"]]
        last = by_spread(labels, answers, 200, 0)[-1]
        assert last.part == "difference"
        sides[case] = (last.label_accuracy.side(), last.student_accuracy.side())
    assert sides == {"tells": (-1, -1), "nothing": (0, 0)}
