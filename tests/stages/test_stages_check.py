"""Every training says before it starts what it cannot be launched as, and counts only if what was saved is the same."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Stage
from w2s_pref.models.info import ModelFacts
from w2s_pref.models.spec import ModelSpec
from w2s_pref.stages.labels import Part
from w2s_pref.stages.model_stage import StartStage, check_language_model, check_reload
from w2s_pref.stages.online import OnlinePolicyStage, Reward
from w2s_pref.stages.policies import PairPolicyStage
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.chess.stages import MoveModelStage
from w2s_pref.studies.generalization.answers import Split
from w2s_pref.studies.generalization.finetune import FinetuneStage
from w2s_pref.studies.preferences.analyze import AnalyzeStage

PLAIN = ModelFacts(ModelSpec(path="a/b"), None, None, {}, "h", "t", None)
QUANTIZED = replace(
    PLAIN, spec=ModelSpec(path="a/b", lora={"r": 4, "task_type": "SEQ_CLS"}, quantization={"load_in_4bit": True})
)
TOKENS = {"max_length": 8}


@pytest.mark.parametrize("head", ["BertModel", "BertForSequenceClassification", "BertForMaskedLM"])
def test_an_encoder_is_no_policy_whatever_head_its_checkpoint_has(head: str) -> None:
    config: dict[str, Any] = {"model_type": "bert", "architectures": [head]}
    with pytest.raises(W2SError, match="does not write from left to right"):
        check_language_model(replace(PLAIN, config=config))
    check_language_model(replace(PLAIN, config={**config, "is_decoder": True}))
    check_language_model(replace(PLAIN, config={"model_type": "gpt2", "architectures": ["GPT2Model"]}))


def rows(n: int) -> Rows:
    ids = [f"{number}" for number in range(n)]
    frame = pd.DataFrame({"id": ids, "group": ids, "form": "text", "prompt": "p", "a": "x", "b": "y", "truth": 1})
    return Rows("rows", frame.assign(objective="o"))


def trainings(model: ModelFacts, **arguments: Any) -> dict[str, Stage]:
    """One stage of every kind that trains."""
    asked = {"batch_size": 8, "num_train_epochs": 1, **arguments}
    start, part = StartStage("start", model, 0), Part(rows(8), "truth")
    split = Split(rows(8), rows(4), "truth")
    policy = ("s", start, None, 0, asked, {}, TOKENS)
    puzzles: Any = rows(8)
    return {
        "reward": TrainStage("s", model, (part,), 0, asked, {}, {}, TOKENS),
        "pairs": PairPolicyStage(*policy, (part,), (), {"name": "sft"}),
        "rloo": OnlinePolicyStage(*policy, "rloo", rows(8), None, (Reward("target", "random"),)),
        "ppo": OnlinePolicyStage(*policy, "ppo", rows(8), None, (Reward("target", "random"),)),
        "finetune": FinetuneStage("s", rows(4), split, model, 0, {}, "zeros", {}, asked, TOKENS),
        "moves": MoveModelStage(*policy, on=puzzles, labels=None),
    }


NAMES = tuple(trainings(PLAIN))


def subclasses(kind: type[Stage]) -> set[type[Stage]]:
    return {kind}.union(*(subclasses(each) for each in kind.__subclasses__()))


def test_no_training_is_forgotten() -> None:
    """Whatever has training arguments checks its launch, and stands in the list that is tested here."""
    ours = {each for each in subclasses(Stage) if each.__module__.startswith("w2s_pref.")}
    assert AnalyzeStage in ours
    assert AnalyzeStage.check is Stage.check
    training = {each for each in ours if "arguments" in {field.name for field in fields(each)}}
    assert all(each.check is not Stage.check for each in training)
    tested = {type(stage) for stage in trainings(PLAIN).values()}
    assert {each for each in training if not each.__subclasses__()} == tested


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_that_the_processes_cannot_share_is_refused(name: str) -> None:
    stage = trainings(PLAIN)[name]
    stage.check(1)
    stage.check(4)
    with pytest.raises(W2SError, match=r"^s: its effective batch of 8 cannot be shared equally by 3 processes; choose"):
        stage.check(3)


def test_the_enlarged_batch_of_a_mixture_is_what_counts() -> None:
    mixed = TrainStage(
        "s", PLAIN, (Part(rows(8), "truth"), Part(rows(4), "truth")), 0,
        {"batch_size": 8, "num_train_epochs": 1}, {}, {}, TOKENS,
    )  # fmt: skip
    with pytest.raises(W2SError, match="effective batch of 16 cannot be shared equally by 3"):
        mixed.check(3)
    mixed.check(16)
    replace(mixed, match_updates=False).check(8)
    with pytest.raises(W2SError, match="effective batch of 8 "):
        replace(mixed, match_updates=False).check(16)


@pytest.mark.parametrize("name", NAMES)
def test_quantized_trainings_compute_in_bfloat16_and_undivided(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(W2SError, match="PPO" if name == "ppo" else r"bfloat16; set training.bf16: true"):
        trainings(QUANTIZED)[name].check(1)
    half = trainings(QUANTIZED, bf16=True)[name]
    if name != "ppo":
        half.check(1)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(W2SError, match="PPO" if name == "ppo" else "data parallel"):
        half.check(1)


def test_ppo_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    for name, stage in trainings(PLAIN).items():
        if name == "ppo":
            with pytest.raises(W2SError, match="PPO trains data parallel only"):
                stage.check(2)
        else:
            stage.check(2)


def test_the_same_numbers_or_a_sentence() -> None:
    said = np.array([[1.0, -20.0]])
    assert check_reload(said, said, "float32") == 0.0
    assert check_reload(said, said + 1e-3, "float32") == pytest.approx(1e-3)  # of 20
    with pytest.raises(W2SError, match=r"saved and trained model differ \(scores by 0.01\)"):
        check_reload(said, said + 1e-2, "float32")
    assert check_reload(said, said + 1e-2, "float32", summed=True) == pytest.approx(1e-2)
    assert check_reload(said, said + 0.5, "bfloat16") == pytest.approx(0.5)
    with pytest.raises(W2SError, match="log-probabilities by 30"):
        check_reload(said, said + 30.0, "bfloat16", summed=True)
    with pytest.raises(W2SError, match="not numbers"):
        check_reload(None, said * np.nan, "float32")
    with pytest.raises(W2SError, match="differ"):
        check_reload(said * np.nan, said, "float32")


def test_nothing_compared_is_not_no_difference() -> None:
    assert check_reload(None, np.ones((2, 2)), "float32") is None
    assert check_reload(np.ones((0, 2)), np.ones((0, 2)), "float32") is None
