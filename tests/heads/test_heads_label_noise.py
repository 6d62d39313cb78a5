"""Six structures with the same number of wrong labels; the ground-truth budget."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.labels.noise import STRUCTURES, Structure, noise_labels, oracle_budget


def case(n: int = 200, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A supervisor that errs more often on class 0, and an oracle table in another order."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, n)
    right = draw.random(n) < np.where(truth == 1, 0.85, 0.65)
    sure = 0.5 + draw.random(n) / 2
    labels = pd.DataFrame({"id": [f"i{row}" for row in range(n)], "p": np.where(right == (truth == 1), sure, 1 - sure)})
    labels["keep"] = draw.random(n) < 0.9
    columns = {"truth": truth, "length": draw.integers(3, 30, n), "strong_margin": draw.normal(size=n) + 2 * truth - 1}
    oracle = pd.DataFrame(columns, index=labels["id"]).sample(frac=1, random_state=1)
    return labels, oracle


def errors(labels: pd.DataFrame, oracle: pd.DataFrame) -> pd.DataFrame:
    joined = labels.join(oracle, on="id")
    return joined[joined["keep"] & ((joined["p"] >= 0.5) != (joined["truth"] == 1))]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_exactly_as_many_errors(structure: Structure) -> None:
    labels, oracle = case()
    theirs = errors(labels, oracle)
    assert len(theirs) > 20
    made = noise_labels(structure, labels, oracle, seed=3)
    assert errors(made, oracle)["truth"].value_counts().to_dict() == theirs["truth"].value_counts().to_dict()
    assert set(made["p"]) == {0.0, 1.0}
    assert made["keep"].tolist() == labels["keep"].tolist()


def test_the_supervisors_errors_stay_where_they_are() -> None:
    labels, oracle = case()
    made = noise_labels("supervisor", labels, oracle)
    assert set(errors(made, oracle)["id"]) == set(errors(labels, oracle)["id"])


def test_where_the_errors_are() -> None:
    """By hand: six items of class 1, the supervisor is wrong on two."""
    ids = list("abcdef")
    labels = pd.DataFrame({"id": ids, "p": [0.2, 0.3, 0.9, 0.9, 0.9, 0.9], "keep": True})
    oracle = pd.DataFrame(
        {"truth": 1, "length": [5, 6, 1, 9, 8, 2], "strong_margin": [0.1, 3.0, -0.2, -4.0, 2.0, 1.0]}, index=ids
    )
    expected = {
        "supervisor": "ab", "longest": "de", "shortest": "cf",
        "strong_unsure": "ac",  # |margin| .1 and .2
        "strong_sure": "be",  # right by 3 and 2; -4 is a confident error, not a confident right answer
    }  # fmt: skip
    for structure, wrong in expected.items():
        made = noise_labels(structure, labels, oracle)  # type: ignore[arg-type]
        assert "".join(errors(made, oracle)["id"]) == wrong, structure


def test_random_is_seeded_and_knows_no_order() -> None:
    labels, oracle = case()
    first = noise_labels("random", labels, oracle, seed=1)
    shuffled = noise_labels("random", labels.sample(frac=1, random_state=5), oracle, seed=1)
    pd.testing.assert_frame_equal(shuffled.set_index("id").loc[first["id"]].reset_index(), first)
    assert not noise_labels("random", labels, oracle, seed=2)["p"].equals(first["p"])


def test_ties_of_length_are_drawn() -> None:
    labels, oracle = case()
    flat = oracle.assign(length=7)
    chosen = [set(errors(noise_labels("longest", labels, flat, seed), oracle)["id"]) for seed in (0, 1)]
    assert chosen[0] != chosen[1]


def test_noise_bad_input() -> None:
    labels, oracle = case()
    with pytest.raises(W2SError, match="structures are supervisor, random"):
        noise_labels("medium", labels, oracle)  # type: ignore[arg-type]
    with pytest.raises(W2SError, match="'strong_margin'"):
        noise_labels("strong_sure", labels, oracle.drop(columns="strong_margin"))


def test_budget() -> None:
    labels, oracle = case()
    truth = oracle["truth"]
    small, large = (oracle_budget(labels, truth, k, seed=4) for k in (10, 40))
    paid = [set(table["id"][table["p"].isin([0.0, 1.0])]) for table in (small, large)]
    assert [len(ids) for ids in paid] == [10, 40]
    assert paid[0] < paid[1]
    for table, ids in zip((small, large), paid, strict=True):
        inside = table["id"].isin(ids)
        assert (table["p"][inside].to_numpy() == truth.loc[table["id"][inside]].to_numpy()).all()
        assert table["keep"][inside].all()
        pd.testing.assert_frame_equal(table[~inside], labels[~inside])
    assert oracle_budget(labels, truth, 0).equals(labels)
    with pytest.raises(W2SError, match="use 0 to 200"):
        oracle_budget(labels, truth, 201)


def test_budget_knows_no_order_but_a_seed() -> None:
    labels, oracle = case()
    truth = oracle["truth"]
    first = oracle_budget(labels, truth, 30, seed=4).set_index("id")
    again = oracle_budget(labels.sample(frac=1, random_state=2), truth, 30, seed=4).set_index("id")
    pd.testing.assert_frame_equal(first, again.loc[first.index])
    assert not first["p"].equals(oracle_budget(labels, truth, 30, seed=5).set_index("id")["p"])
