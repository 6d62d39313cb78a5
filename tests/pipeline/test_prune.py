"""``w2s prune``: room in the store, every result as it was, and models that come back as they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import copy_tiny
from fault_helpers import files, refused, succeeded

REWARD = ["seeds=[0]", "arms={direct: [weak, strong]}", "conflict.settings=[none]"]
DPO = [*REWARD, "students=[dpo]", "speech.prompts=0", "name=dpo"]


@pytest.fixture
def study(original: Path, tmp_path: Path) -> Path:
    return copy_tiny(original, tmp_path / "study") / "tiny.yaml"


def weights(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*.safetensors") if "tokens" not in path.parts}


def results(run: Path) -> dict[str, object]:
    found = json.loads((run / "results.json").read_text())
    return {name: found[name] for name in found if name not in {"provenance", "costs", "trainings"}}


def test_room_without_a_result_changed(study: Path) -> None:
    runs = study.parent / "runs"
    store, run = runs / "store", runs / "tiny"
    succeeded("run", study, *REWARD)
    first, kept, models = results(run), weights(run), weights(store)
    before = files(study.parent)
    said = succeeded("prune", study, *REWARD).out
    assert "would free the weights of 3 models of tiny" in said
    assert "nothing was removed" in said
    assert files(study.parent) == before
    said = succeeded("prune", study, *REWARD, "--yes").out
    assert "freed the weights of 3 models of tiny" in said
    assert "more are students" in said
    assert not weights(store)
    assert weights(run) == kept  # other names of the same files
    assert "no weights in" in succeeded("prune", study, *REWARD, "--yes").out
    plan = succeeded("plan", study, *REWARD, "--all").out
    assert plan.count("weights freed") == 3
    assert " 0 miss" in plan
    out = succeeded("run", study, *REWARD).out
    assert ", 0 built" in out
    assert results(run) == first
    assert weights(run) == kept  # taken over from the run that was replaced
    shutil.rmtree(store / "scores")  # every model scores again, so every one is needed, and is as it was
    assert succeeded("plan", study, *REWARD, "--all").out.count("weights freed") == 0
    assert ", 0 built" not in succeeded("run", study, *REWARD).out
    assert weights(store) == models
    assert results(run) == first


def test_what_no_stage_of_the_recipe_wrote_is_counted_and_stays(study: Path) -> None:
    store = study.parent / "runs" / "store"
    succeeded("run", study, *REWARD)
    assert "of no stage" not in succeeded("prune", study, *REWARD).out
    one = next(store.glob("scores/*"))
    shutil.copytree(one, store / "scores" / "of-another-version")
    shutil.copytree(one, store / "corrupted" / "scores-x")
    before = files(store)
    assert "1 artifact (" in succeeded("prune", study, *REWARD).out
    assert files(store) == before
    succeeded("prune", study, *REWARD, "--yes")
    assert (store / "scores" / "of-another-version" / "manifest.json").is_file()


def test_a_new_analysis_needs_no_weights_and_students_that_were_removed_are_missing(study: Path) -> None:
    succeeded("run", study, *REWARD)
    succeeded("prune", study, *REWARD, "--yes")
    shutil.rmtree(study.parent / "runs" / "tiny" / "students")
    out = succeeded("run", study, *REWARD, "analysis.threshold=0.7").out
    assert ", 1 built" in out
    assert not weights(study.parent / "runs")
    refused(
        study.parent, "export", study.parent / "runs" / "tiny", "direct-none-seed0", study.parent / "mine",
        said=("no student 'direct-none-seed0'", "w2s prune"),
    )  # fmt: skip


def test_a_model_that_an_adapter_of_another_recipe_rests_on_stays(study: Path) -> None:
    store = study.parent / "runs" / "store"
    succeeded("run", study, *DPO)
    policies = {path.parent for path in store.glob("policy/*/model.safetensors")}
    base = min(policies)
    other = [*DPO[:-1], "name=other", f"models.strong.path={base}", "models.strong.lora={r: 2}"]
    succeeded("run", study, *other)
    succeeded("prune", study, *DPO, "--yes")
    assert {path.parent for path in store.glob("policy/*/model.safetensors")} == {base}
    shutil.rmtree(store / "logprobs")
    succeeded("run", study, *other)  # scores with the adapters again
    succeeded("prune", study, *other, "--yes")
    assert not list(store.glob("policy/*/adapter_model.safetensors"))
    succeeded("run", study, *DPO)  # so does this one, with models that come back
    succeeded("prune", study, *DPO, "--yes")
    assert list(store.glob("policy/*/model.safetensors")) == []


def test_a_store_at_a_url_is_everybodys(study: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    far = [*REWARD, "store=memory://prune/store"]
    succeeded("run", study, *far)
    refused(study.parent, "prune", study, *far, "--yes", said="everybody's")
