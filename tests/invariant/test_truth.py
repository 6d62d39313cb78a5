"""No ground truth where none belongs: labels, filters and students do not see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import make_pairs, make_rows

from w2s_pref.labels.make import LabelConfig, make_labels, random_labels
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.run import open_recipe


def raw(pairs: pd.DataFrame) -> pd.DataFrame:
    scores = pairs["id"].map(lambda identity: int(identity[:4], 16) / 65536 * 6 - 3)
    return pd.DataFrame({"id": pairs["id"], "score_a": scores, "score_b": 0.0})


@pytest.mark.parametrize("form", ["soft", "hard"])
@pytest.mark.parametrize("keep", ["none", "high_confidence"])
def test_labels_do_not_depend_on_truth(form: Any, keep: Any) -> None:
    pairs = make_pairs(60)
    shuffled = pairs.assign(truth=pairs["truth"].sample(frac=1, random_state=1).to_numpy())
    config = LabelConfig(form=form, filter=keep)
    one = make_labels(raw(pairs), config, truth=pairs.set_index("id")["truth"])
    other = make_labels(raw(shuffled), config, truth=shuffled.set_index("id")["truth"])
    pd.testing.assert_frame_equal(one, other)


def test_the_oracle_filter_does_and_says_so() -> None:
    pairs = make_pairs(60)
    config = LabelConfig(filter="oracle_high_confidence")
    kept = make_labels(raw(pairs), config, truth=pairs.set_index("id")["truth"])["keep"]
    flipped = make_labels(raw(pairs), config, truth=1 - pairs.set_index("id")["truth"])["keep"]
    plain = make_labels(raw(pairs), LabelConfig(filter="high_confidence"))["keep"]
    assert not (kept & flipped).any()
    assert ((kept | flipped) == plain).all()


def test_labels_by_hand() -> None:
    scores = pd.DataFrame({"id": list("abc"), "score_a": [2.0, 0.0, -1.0], "score_b": [0.0, 0.0, 1.0]})
    soft = make_labels(scores, LabelConfig(filter="high_confidence"))
    assert soft["p"].tolist() == pytest.approx([0.880797, 0.5, 0.119203], abs=1e-6)
    assert soft["keep"].tolist() == [True, False, True]
    assert make_labels(scores, LabelConfig(form="hard"))["p"].tolist() == [1.0, 0.5, 0.0]
    cool = make_labels(scores, LabelConfig(filter="high_confidence"), temperature=4.0)
    assert cool["p"].tolist() == pytest.approx([0.622459, 0.5, 0.377541], abs=1e-6)
    assert not cool["keep"].any()


def test_random_labels_are_seeded_fair_coins() -> None:
    ids = make_pairs(400)["id"]
    first, again, other = random_labels(ids, 0), random_labels(ids, 0), random_labels(ids, 1)
    pd.testing.assert_frame_equal(first, again)
    assert not first["p"].equals(other["p"])
    assert 0.4 < first["p"].mean() < 0.6


def test_flipped_truth_of_w2s_changes_no_training_key(tmp_path: Path) -> None:
    """Only the analysis and the explicit student, which is paid by ground truth, may notice w2s's ground truth."""
    from conftest import RECIPE, save_tiny

    for name in ("small", "medium", "large"):
        save_tiny(tmp_path / name, hidden=16, layers=1)
    table = make_rows(160, seed=3)
    parts = {"gt": table[:60], "w2s": table[60:110], "test": table[110:]}
    for name, part in parts.items():
        part.to_csv(tmp_path / f"{name}.csv", index=False)
        flipped = part.rename(columns={"chosen": "rejected", "rejected": "chosen"}) if name == "w2s" else part
        flipped.to_csv(tmp_path / f"flipped_{name}.csv", index=False)
    make_rows(100, seed=2).to_csv(tmp_path / "conflict.csv", index=False)
    found = []
    for prefix in ("", "flipped_"):
        target = ", ".join(f"{n}: {{source: {prefix}{n}.csv, objective: target}}" for n in parts)
        text = RECIPE.replace("target: {source: target.csv, objective: target}", f"target: {{{target}}}")
        text = text.replace("gt: 48, w2s: 48, test: 64, ", "")
        recipe = tmp_path / f"{prefix}recipe.yaml"
        recipe.write_text(text)
        found.append({stage.name: stage.key for stage in all_stages(open_recipe(recipe, []).study)})
    different = {name for name in found[0] if found[0][name] != found[1][name]}
    assert different
    assert all(name == "analysis" or "explicit" in name for name in different)
