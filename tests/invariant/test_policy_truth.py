"""The ground truth of w2s reaches no policy: only what the recipe says may see it does."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import RECIPE, make_rows, save_tiny

from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.run import open_recipe

STUDENTS = ["dpo", "ppo", "rloo"]
SETTINGS = [
    "seeds=[0]",
    "arms={direct: [weak, strong], long: [weak, middle@dpo, strong]}",
    "students=[dpo, simpo, ppo, rloo]",
    "methods={ppo: {training: {response_length: 6}}, rloo: {training: {max_completion_length: 6}}}",
    "conflict.settings=[none, explicit, implicit, placebo, gold, base]",
    "speech={prompts: 6, max_new_tokens: 6}",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study twice: as it is, and with the two answers of every w2s pair exchanged."""
    folder = tmp_path_factory.mktemp("truth")
    for name in ("small", "medium", "large"):
        save_tiny(folder / name, hidden=16, layers=1)
    table = make_rows(160, seed=3)
    parts = {"gt": table[:60], "w2s": table[60:110], "test": table[110:]}
    for name, part in parts.items():
        part.to_csv(folder / f"{name}.csv", index=False)
        flipped = part.rename(columns={"chosen": "rejected", "rejected": "chosen"}) if name == "w2s" else part
        flipped.to_csv(folder / f"flipped_{name}.csv", index=False)
    make_rows(100, seed=2).to_csv(folder / "conflict.csv", index=False)
    for prefix in ("", "flipped_"):
        target = ", ".join(f"{name}: {{source: {prefix}{name}.csv, objective: target}}" for name in parts)
        text = RECIPE.replace("target: {source: target.csv, objective: target}", f"target: {{{target}}}")
        (folder / f"{prefix}recipe.yaml").write_text(text.replace("gt: 48, w2s: 48, test: 64, ", ""))
    return folder


def changed(folder: Path, *overrides: str) -> tuple[set[str], set[str]]:
    """Names of the stages whose key the flip changes, and of all."""
    keys = []
    for prefix in ("", "flipped_"):
        study = open_recipe(folder / f"{prefix}recipe.yaml", [*SETTINGS, *overrides]).study
        keys.append({f"{stage.kind}: {stage.name}": stage.key for stage in all_stages(study)})
    assert keys[0].keys() == keys[1].keys()
    return {name for name in keys[0] if keys[0][name] != keys[1][name]}, set(keys[0])


def test_flipped_truth_of_w2s_changes_no_policy_key(folder: Path) -> None:
    """But of students on pairs that it pays (explicit) or that have it in the place of weak labels (gold)."""
    different, every = changed(folder)
    policies = {name for name in every if name.startswith("policy: ")}
    assert all(any(f"@{method}/none" in name for name in policies) for method in STUDENTS)
    assert all("explicit" in name or "gold" in name or name == "analysis: analysis" for name in different)
    for method in ("dpo", "simpo"):
        for arm in ("direct", "long"):
            assert {f"policy: {arm}@{method}/{c} · seed 0" for c in ("explicit", "gold")} <= different
    assert not {name for name in different if name.startswith("labels: ")}
    # On-policy rewards of ground truth come from a model that was trained on gt: w2s's own truth is not even there.
    assert not {name for name in different if "@ppo" in name or "@rloo" in name}


def test_labels_and_policies_see_truth_only_through_the_oracle_filter(folder: Path) -> None:
    plain = "labels.filter=high_confidence"
    assert not {name for name in changed(folder, plain)[0] if name.startswith("labels: ")}
    different, every = changed(folder, "labels.filter=oracle_high_confidence")
    assert {name for name in every if name.startswith("labels: ")} <= different
    for method in STUDENTS:
        assert f"policy: direct@{method}/none · seed 0" in different
    assert not {name for name in different if name.startswith(("policy: ceiling/", "model: ceiling/"))}


def test_flipped_truth_of_gt_changes_every_policy(folder: Path) -> None:
    """The test above could pass because keys ignore truth altogether; that of gt they must not."""
    text = (folder / "recipe.yaml").read_text()
    gt = "gt: {source: gt.csv, objective: target}"
    assert gt in text
    swapped = "gt: {source: gt.csv, objective: target, columns: {chosen: rejected, rejected: chosen}}"
    (folder / "other.yaml").write_text(text.replace(gt, swapped))
    keys = []
    for name in ("recipe", "other"):
        study = open_recipe(folder / f"{name}.yaml", SETTINGS).study
        keys.append({stage.name: stage.key for stage in study.trained.values()})
    same = {name for name in keys[0] if keys[0][name] == keys[1][name]}
    assert all(name.startswith(("gold-conflict/", "base/")) for name in same)
