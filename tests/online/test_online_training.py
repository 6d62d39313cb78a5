"""RLOO and GRPO through TRL: they learn, resume, and get the prompts, texts and batches they should."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from float64 import EXACT
from safetensors.torch import load_file
from transformers import MixtralConfig, MixtralForCausalLM

from w2s_pref.core.errors import W2SError
from w2s_pref.data.tokens import prompt_ids
from w2s_pref.models.load import load_tokenizer
from w2s_pref.models.policies import load_saved_policy
from w2s_pref.testbed import ladder
from w2s_pref.testbed.world import generate
from w2s_pref.training import online
from w2s_pref.training.environment import quiet
from w2s_pref.training.online import OnlineJob, fit_online
from w2s_pref.training.rewards import from_callable

START = ladder.path("xs")
TOKENIZER = load_tokenizer(START)
PROMPTS = pd.DataFrame({"form": "text", "prompt": generate(32, seed=3)["prompt"]})
ARGUMENTS = {"batch_size": 8, "num_generations": 4, "max_completion_length": 16, "learning_rate": 1.0e-3,
             "logging_steps": 1, "beta": 0.05}  # fmt: skip
LORA = {"r": 4, "target_modules": ["q_proj", "v_proj"]}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quiet()


def says_drop(prompts: list[str], answers: list[str]) -> list[float]:
    return [float(" drop " in answer) for answer in answers]


def job(updates: int | None = 3, prompts: pd.DataFrame = PROMPTS, reward: Any = None, **changes: Any) -> OnlineJob:
    more = {name: changes.pop(name) for name in ("lora", "base_path", "max_length", "progress") if name in changes}
    arguments = {**ARGUMENTS, **changes}
    return OnlineJob(
        prompts, reward or from_callable(says_drop, "drop"), arguments=arguments, seed=0, updates=updates, **more
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    name = "adapter_model.safetensors" if (folder / "adapter_config.json").is_file() else "model.safetensors"
    return load_file(folder / name)


def same(first: Path, second: Path) -> bool:
    one, two = weights(first), weights(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_rloo_learns_what_it_is_paid_for(tmp_path: Path):
    done = fit_online(
        "rloo", START, TOKENIZER, job(20, batch_size=32, learning_rate=3.0e-3), tmp_path / "work", tmp_path / "out"
    )
    rewards = [entry["reward"] for entry in done["history"]]
    assert [entry["step"] for entry in done["history"]] == list(range(1, 21))
    assert np.mean(rewards[:4]) < 0.5
    assert np.mean(rewards[-4:]) > 0.75
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".safetensors", ".json"}
    load_saved_policy(tmp_path / "out")


def test_grpo_runs_and_starts_where_it_should(tmp_path: Path):
    steps: list[tuple[int, int]] = []
    told = job(2, progress=lambda at, of: steps.append((at, of)))
    done = fit_online("grpo", START, TOKENIZER, told, tmp_path / "work", tmp_path / "out")
    assert done["steps"] == 2
    assert steps == [(1, 2), (2, 2)]
    assert all(np.isfinite([entry["loss"], entry["reward"]]).all() for entry in done["history"])
    assert done["history"][0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert not same(tmp_path / "out", START)


def first_answers(start: Path, work: Path) -> list[str]:
    seen: list[str] = []

    def noted(prompts: list[str], answers: list[str]) -> list[float]:
        seen.extend(answers)
        return [float(len(answer)) for answer in answers]

    fit_online("rloo", start, TOKENIZER, job(1, reward=from_callable(noted, "noted")), work / "work", work / "out")
    return seen


def test_what_the_models_own_file_says_of_sampling_is_not_read(tmp_path: Path):
    shutil.copytree(START, tmp_path / "model")
    settings = {"no_repeat_ngram_size": 1, "min_new_tokens": 14, "eos_token_id": TOKENIZER.eos_token_id}
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert first_answers(tmp_path / "model", tmp_path / "one") == first_answers(START, tmp_path / "two")
    kept = json.loads((tmp_path / "one" / "out" / "generation_config.json").read_text(encoding="utf-8"))
    assert kept["no_repeat_ngram_size"] == 1


class Stop(Exception):
    """What ends a run in the middle."""


def stop_at_five(at: int, of: int) -> None:
    if at == 5:
        raise Stop


@pytest.mark.parametrize(("algorithm", "adapters"), [("rloo", False), ("grpo", False), ("rloo", True)])
def test_stopped_and_resumed_is_undisturbed(tmp_path: Path, algorithm: Any, adapters: bool):
    """With answers of one drawing used for two steps, so that a checkpoint must fall between drawings."""
    more: dict[str, Any] = {"save_steps": 1, "generation_batch_size": 16}
    start = START
    if adapters:
        start = tmp_path / "start"
        fit_online("rloo", START, TOKENIZER, job(1, lora=LORA, base_path=str(START)), tmp_path / "s", start)
    whole = fit_online(algorithm, start, TOKENIZER, job(6, **more), tmp_path / "a", tmp_path / "whole")
    with pytest.raises(Stop):
        fit_online(algorithm, start, TOKENIZER, job(6, progress=stop_at_five, **more), tmp_path / "b", tmp_path / "no")
    assert sorted(path.name for path in (tmp_path / "b").glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    seen: list[int] = []
    again = job(6, progress=lambda at, of: seen.append(at), **more)
    resumed = fit_online(algorithm, start, TOKENIZER, again, tmp_path / "b", tmp_path / "resumed")
    assert seen == [5, 6]
    assert same(tmp_path / "whole", tmp_path / "resumed")
    assert not same(tmp_path / "whole", start)
    for key in ("loss", "reward"):
        assert [entry[key] for entry in resumed["history"]] == [entry[key] for entry in whole["history"]]


@pytest.mark.usefixtures("float64")
def test_how_the_batch_is_split_changes_nothing(tmp_path: Path):
    """SGD: where all answers of a group earn alike, gradients are rounding, which AdamW would enlarge."""
    start = tmp_path / "start"
    load_saved_policy(START)[0].double().save_pretrained(start)
    for name, per_device in (("one", None), ("split", 2)):
        told = job(3, optim="sgd", learning_rate=1.0e-1, per_device_train_batch_size=per_device)
        fit_online("rloo", start, TOKENIZER, told, tmp_path / f"work-{name}", tmp_path / name)
    before, one, split = (weights(tmp_path / name) for name in ("start", "one", "split"))
    assert {each.dtype for each in one.values()} == {torch.float64}
    assert max(float((one[name] - before[name]).abs().max()) for name in one) > 1e-3
    assert max(float((one[name] - split[name]).abs().max()) for name in one) <= EXACT


def test_experts_have_no_loss_that_depends_on_the_split(tmp_path: Path):
    """What balances them is of a part of a batch; a mixture's own configuration asks for it."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"vocab_size": len(TOKENIZER), "pad_token_id": TOKENIZER.pad_token_id, "eos_token_id": TOKENIZER.eos_token_id}
    torch.manual_seed(0)
    config = MixtralConfig(**sizes, **ids, num_key_value_heads=2, num_local_experts=4, router_aux_loss_coef=0.5)
    MixtralForCausalLM(config).save_pretrained(tmp_path / "start")
    TOKENIZER.save_pretrained(tmp_path / "start")
    length = from_callable(lambda prompts, answers: [float(len(answer) % 7) for answer in answers], "length")
    for name, per_device in (("one", None), ("split", 2)):
        told = job(2, reward=length, optim="sgd", learning_rate=1.0e-1, per_device_train_batch_size=per_device)
        fit_online("rloo", tmp_path / "start", TOKENIZER, told, tmp_path / f"work-{name}", tmp_path / name)
    before, one, split = (weights(tmp_path / name) for name in ("start", "one", "split"))
    assert max(float((one[name] - before[name]).abs().max()) for name in one) > 1e-4
    assert max(float((one[name] - split[name]).abs().max()) for name in one) < 1e-5  # grouped products know no float64


def test_rewards_are_asked_for_the_texts_that_follow_the_prompts(tmp_path: Path):
    seen: list[tuple[pd.DataFrame, list[str]]] = []

    def remember(prompts: pd.DataFrame, answers: list[str]) -> np.ndarray:
        seen.append((prompts, answers))
        return np.arange(len(answers), dtype=float)

    fit_online("rloo", START, TOKENIZER, job(2, reward=remember), tmp_path / "work", tmp_path / "out")
    assert len(seen) == 2
    for prompts, answers in seen:
        assert list(prompts.columns) == ["form", "prompt"]
        assert len(prompts) == len(answers) == 8
        assert prompts["prompt"].value_counts().tolist() == [4, 4]
        assert all(answer.startswith(" ") for answer in answers)


def test_prompts_are_the_ids_the_policy_is_judged_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from trl import RLOOTrainer

    seen: list[list[int]] = []
    before = RLOOTrainer._generate_single_turn

    def spy(self: Any, ids: list[list[int]], *others: Any) -> Any:
        seen.extend(ids)
        return before(self, ids, *others)

    monkeypatch.setattr(RLOOTrainer, "_generate_single_turn", spy)
    chats = pd.DataFrame({"form": "chat", "prompt": [f'[{{"role": "user", "content": "{text}"}}]' for text in
                                                     PROMPTS["prompt"][:2]]})  # fmt: skip
    told = job(1, prompts=chats, max_length=28)
    fit_online("rloo", START, TOKENIZER, told, tmp_path / "work", tmp_path / "out")
    expected = prompt_ids(chats, TOKENIZER, 28 - 16)
    assert sorted(seen) == sorted(expected * 4)
    assert {len(ids) for ids in seen} == {12}


def test_an_adapter_is_trained_from_a_model_and_trained_on(tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    fit_online("rloo", START, TOKENIZER, job(2, lora=LORA, base_path=str(START)), tmp_path / "a", first)
    done = fit_online("rloo", first, TOKENIZER, job(2, lora=LORA, base_path=str(START)), tmp_path / "b", second)
    assert done["history"][0]["kl"] == pytest.approx(0.0, abs=1e-6)  # the reference is the adapter it starts from
    assert weights(first).keys() == weights(second).keys()
    assert not same(first, second)
    assert {path.name for path in second.iterdir()} == {path.name for path in first.iterdir()}
    assert "ref" not in {path.name for path in second.iterdir()}
    load_saved_policy(second)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 6}, "no multiple of num_generations 4; use 8"),
        ({"batch_size": 256}, "need 64 prompts, but there are 32"),
        ({"generation_batch_size": 12}, "no multiple of batch_size 8"),
        ({"steps_per_generation": 2}, "generation_batch_size"),
        ({"num_generations": 1}, "at least 2 generations"),
        ({"lora": {"r": 4, "nonsense": 1}}, "lora"),
        ({"max_completion_length": 127}, "max_new_tokens"),
    ],
)
def test_what_does_not_fit_is_a_sentence(tmp_path: Path, changes: dict[str, Any], words: str):
    with pytest.raises(W2SError, match=words):
        fit_online("rloo", START, TOKENIZER, job(2, **changes), tmp_path / "work", tmp_path / "out")


def test_a_reward_that_is_no_number_stops_the_run(tmp_path: Path):
    def broken(prompts: pd.DataFrame, answers: list[str]) -> np.ndarray:
        return np.full(len(answers), np.nan)

    with pytest.raises(W2SError, match="8 of 8 rewards are not finite"):
        fit_online("rloo", START, TOKENIZER, job(2, reward=broken), tmp_path / "work", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_history_of_a_resumed_training(tmp_path: Path) -> None:
    """TRL logs means since the last log: those of before the checkpoint are in them."""
    more = {"save_steps": 2, "logging_steps": 3}
    whole = fit_online("rloo", START, TOKENIZER, job(6, **more), tmp_path / "a", tmp_path / "whole")
    with pytest.raises(Stop):
        fit_online("rloo", START, TOKENIZER, job(6, progress=stop_at_five, **more), tmp_path / "b", tmp_path / "no")
    resumed = fit_online("rloo", START, TOKENIZER, job(6, **more), tmp_path / "b", tmp_path / "resumed")
    assert same(tmp_path / "whole", tmp_path / "resumed")
    seconds = ("time", "second")
    lines = [
        [{name: value for name, value in line.items() if not any(each in name for each in seconds)} for line in history]
        for history in (whole["history"], resumed["history"])
    ]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 2


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
@pytest.mark.parametrize("at", [3, 5])
def test_a_training_resumed_in_a_later_epoch_answers_the_same_prompts(tmp_path: Path, algorithm: Any, at: int) -> None:
    """Eight prompts, four steps an epoch; TRL's sampler draws each epoch's order where the one before ended."""
    few, seen = PROMPTS.head(8), {"a": [], "b": [], "c": []}

    def told(place: str, **more: Any) -> OnlineJob:
        def reward(prompts: pd.DataFrame, answers: list[str]) -> np.ndarray:
            seen[place].append(sorted(set(prompts["prompt"])))
            return np.array([float(" drop " in each) for each in answers])

        return job(10, prompts=few, reward=reward, save_steps=1, **more)

    def stop(step: int, steps: int) -> None:
        if step == at + 2:
            raise Stop

    fit_online(algorithm, START, TOKENIZER, told("a"), tmp_path / "a", tmp_path / "whole")
    with pytest.raises(Stop):
        fit_online(algorithm, START, TOKENIZER, told("b", progress=stop), tmp_path / "b", tmp_path / "no")
    fit_online(algorithm, START, TOKENIZER, told("c"), tmp_path / "b", tmp_path / "resumed")
    assert seen["c"] == seen["a"][at + 1 :]
    assert same(tmp_path / "whole", tmp_path / "resumed")


def test_answers_to_chats_end_where_the_template_ends_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """TRL knows the eos alone: what it draws behind a turn's end would be rewarded and learned."""
    made: list[Any] = []
    tokenizer = load_tokenizer(START)
    tokenizer.add_tokens(["<|end|>"], special_tokens=True)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }} <|end|>{% endfor %}"
    chats = [json.dumps([{"role": "user", "content": text}]) for text in PROMPTS["prompt"]]
    monkeypatch.setattr(online, "run", lambda trainer, *_: made.append(trainer) or {"history": []})
    told = job(1, pd.DataFrame({"form": "chat", "prompt": chats}))
    fit_online("rloo", START, tokenizer, told, tmp_path / "work", tmp_path / "out")
    ends = sorted([tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|end|>")])
    assert made[0].eos_token_ids == made[0].generation_config.eos_token_id == ends
