"""Students of a model with frozen layers: they come out as if every one computed them, and one writes them for all."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import make_pairs, save_tiny
from safetensors.torch import load_file

from w2s_pref.engine.stage import Builder
from w2s_pref.engine.store import Store
from w2s_pref.models.info import facts
from w2s_pref.models.spec import ModelSpec
from w2s_pref.parallel.world import World
from w2s_pref.stages import frozen, rewards
from w2s_pref.stages.labels import Part
from w2s_pref.stages.rewards import ScoreStage, TrainStage
from w2s_pref.stages.rows import Rows

TOKENS = {"max_length": 32, "overlong": "truncate"}
#: Plain gradient descent: Adam divides by the gradient's size, and the rounding of a gradient near 0 becomes a step.
ARGUMENTS = {
    "batch_size": 8,
    "num_train_epochs": 1,
    "learning_rate": 0.5,
    "optim": "sgd",
    "bf16": False,
    "save_steps": 100,
    "logging_steps": 1,
}


def student(folder: Path, seed: int = 0, **spec: Any) -> TrainStage:
    model = facts(ModelSpec(path=str(folder), freeze_layers=1, **spec), folder)
    rows = Rows("gt", make_pairs(24))
    return TrainStage("student", model, (Part(rows, "truth"),), seed, ARGUMENTS, {}, {}, TOKENS)


def made(stage: Any, builder: Builder, folder: Path) -> Path:
    folder.mkdir(parents=True)
    stage.compute(builder, folder)
    return folder


@pytest.mark.parametrize("lora", [None, {"r": 2, "target_modules": "all-linear"}], ids=["full", "lora"])
def test_a_student_is_the_same_with_and_without_them(
    lora: dict[str, Any] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = student(save_tiny(tmp_path / "model", layers=2), lora=lora)
    builder = Builder(Store(tmp_path / "store"), World(), tmp_path)
    read = made(stage, builder, tmp_path / "read")
    files = list((tmp_path / "store" / "states").glob("*/*.safetensors"))
    assert len(files) == 2
    monkeypatch.setattr(rewards, "reading_states", lambda *_: nullcontext())
    computed = made(stage, Builder(Store(tmp_path / "other"), World(), tmp_path), tmp_path / "computed")
    name = "model.safetensors" if lora is None else "adapter_model.safetensors"
    first, second = load_file(read / name), load_file(computed / name)
    assert first.keys() == second.keys()
    for key, weight in first.items():
        assert (weight - second[key]).abs().max() < 1e-5, key
    start = load_file(tmp_path / "model" / "model.safetensors")
    for key in first.keys() & start.keys():
        assert (first[key] != start[key]).any() == key.startswith(("model.layers.1.", "model.norm.")), key


def test_another_seed_reads_what_the_first_wrote_and_scores_add_their_own_texts(tmp_path: Path) -> None:
    stage = student(save_tiny(tmp_path / "model", layers=2))
    builder = Builder(Store(tmp_path / "store"), World(), tmp_path)
    made(stage, builder, tmp_path / "first")
    kept = tmp_path / "store" / "states"
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*.safetensors")}
    made(replace(stage, seed=1), builder, tmp_path / "second")
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*.safetensors")} == before
    test = ScoreStage("scores", Rows("test", make_pairs(9, seed=5)), stage, TOKENS)
    builder.remember(stage.key, stage._saved(tmp_path / "first"))
    made(test, builder, tmp_path / "scores")
    assert len(list(kept.iterdir())) == 2


def test_the_key_of_states_knows_neither_seed_nor_loss_but_model_cut_and_texts(tmp_path: Path) -> None:
    stage = student(save_tiny(tmp_path / "model", layers=3))
    rows = stage.parts[0].rows
    key = frozen.states_key(stage.model, rows, TOKENS)
    spec = stage.model.spec
    assert frozen.states_key(replace(stage.model, spec=spec.model_copy(update={"lora": {"r": 2}})), rows, TOKENS) == key
    deeper = replace(stage.model, spec=spec.model_copy(update={"freeze_layers": 2}))
    others = [(deeper, rows), (replace(stage.model, hash="0"), rows), (stage.model, Rows("gt", make_pairs(23)))]
    assert key not in {frozen.states_key(model, on, TOKENS) for model, on in others}
    backbone = spec.model_copy(update={"freeze_layers": None, "freeze_backbone": True})
    assert frozen.frozen_layers(replace(stage.model, spec=backbone)) == 3
