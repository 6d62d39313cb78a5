"""Policies on two processes: equal to one where the design promises it, and whole where it does not.

Promised: training on pairs, scoring, and sampling, whose seeds belong to batches of answers and not to processes. PPO
draws every token by a number that belongs to its update, row and place, so it answers alike too; only rounding differs,
in the order of sums. RLOO and GRPO are TRL's, which seeds sampling per process: other processes, other answers.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, copy_tiny
from processes import run_together

from w2s_pref.launch.here import launch

SETTINGS = [
    "seeds=[0]",
    "arms={direct: [weak, strong]}",
    "students=[dpo, ppo, rloo]",
    "conflict.settings=[none]",
    "data.splits={gt: 16, w2s: 24, test: 24, conflict: 16, conflict_test: 8}",
    "training.optim=sgd",
    "training.learning_rate=1.0e-1",
    "training.save_steps=100",
    "speech={prompts: 7, samples: 2, max_new_tokens: 6, batch_size: 4}",
    "methods={dpo: {pre_stage: false}, "
    "ppo: {pre_stage: false, training: {total_episodes: 16, batch_size: 8, response_length: 6, "
    "learning_rate: 1.0e-4}}, rloo: {pre_stage: false, training: {batch_size: 8, num_generations: 2, "
    "max_completion_length: 6, max_steps: 1}}}",
]


@pytest.fixture(scope="module")
def runs(original: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The run folders of the same study on one process and on two."""
    found = []
    for name in ("one", "two"):
        recipe = copy_tiny(original, tmp_path_factory.mktemp(name) / "study") / "tiny.yaml"
        folder = recipe.parent / "runs" / "tiny"
        if name == "one":
            launch(recipe, SETTINGS)
        else:
            done = run_together(2, str(ROOT / "recipes" / "run.py"), str(recipe), *SETTINGS, "processes=2")
            # An aborted exit after everything stands is gloo's, not ours: the results decide.
            assert (folder / "results.json").is_file(), done
        found.append(folder)
    return found


def scores(folder: Path) -> pd.Series:
    table = pd.read_parquet(folder / "scores.parquet")
    return table.set_index(["model", "seed", "objective", "id"])["delta"].sort_index()


def of(table: pd.Series, word: str) -> pd.Series:
    return table[table.index.get_level_values("model").str.contains(word)]


def test_pairs_and_ppo_score_as_one_process_does(runs: list[Path]) -> None:
    one, two = map(scores, runs)
    assert one.index.equals(two.index)
    assert np.isfinite(two).all()
    for method in ("dpo", "ppo"):
        assert of(one, f"@{method}").abs().max() > 1e-4  # else any two policies would agree
        assert (of(one, f"@{method}") - of(two, f"@{method}")).abs().max() <= 1e-5
    rest = ~one.index.get_level_values("model").str.contains("rloo")
    assert (one[rest] - two[rest]).abs().max() <= 1e-5


def test_answers_are_the_same_table(runs: list[Path]) -> None:
    """Same prompts, samples and order for every policy; same texts where the policies are the same."""
    one, two = (pd.read_parquet(folder / "answers.parquet") for folder in runs)
    place = ["model", "seed", "id", "sample"]
    pd.testing.assert_frame_equal(one[place], two[place])
    assert (one.groupby(["model", "seed"]).size() == 14).all()
    assert np.isfinite(two[["logp", "ref_logp", "gold_target", "gold_conflict"]].to_numpy()).all()
    promised = ~one["model"].str.fullmatch(r"(ceiling/strong@rloo|direct@rloo/none)")
    pd.testing.assert_frame_equal(one[promised], two[promised], rtol=0, atol=1e-4)
    assert 0 < promised.sum() < len(one)


def test_two_processes_commit_whole_artifacts(runs: list[Path]) -> None:
    store = runs[1].parent / "store"
    manifests = [json.loads(path.read_text()) for path in store.glob("*/*/manifest.json")]
    assert {manifest["key"] for manifest in manifests} == {
        json.loads(path.read_text())["key"] for path in (runs[0].parent / "store").glob("*/*/manifest.json")
    }
    trained = [manifest["meta"] for manifest in manifests if manifest["kind"] == "policy"]
    assert {meta["world_size"] for meta in trained} == {2}
    assert not list(store.glob("tmp/*"))
    body = json.loads((runs[1] / "results.json").read_text())
    for entry in body["speech"]:
        assert np.isfinite(entry["kl"]["estimate"])
        assert entry["prompts"] == 7
