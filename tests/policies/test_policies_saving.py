"""Policies on disk: what is loaded is what was trained; adapters; a run that was stopped goes on as if it had not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_pairs, make_tokenizer, save_tiny
from policy_helpers import job, make_policy, train, weights

from w2s_pref.core.errors import W2SError
from w2s_pref.losses.pairs import PairObjective
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.policies import load_policy, load_saved_policy, save_policy
from w2s_pref.models.scoring import logprob_ids, logprob_pairs
from w2s_pref.models.spec import ModelSpec
from w2s_pref.training.policy import fit_policy

LORA = {"r": 4, "lora_alpha": 8}


def values(model: Any) -> torch.Tensor:
    """Log-probabilities of the answers of a few pairs."""
    table = logprob_pairs(model, make_tokenizer(), make_pairs(10))
    return torch.tensor(table[["logp_a", "logp_b"]].to_numpy())


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_saved_and_loaded_policies_agree(tmp_path: Path) -> None:
    model = make_policy()
    before = values(model)
    train(tmp_path, job(n=16, learning_rate=0.1), model)
    loaded, tokenizer = load_saved_policy(tmp_path / "saved")
    assert (values(loaded) - values(model)).abs().max() <= 1e-6
    assert (values(loaded) - before).abs().max() > 1e-3
    assert not loaded.training
    assert tokenizer.pad_token_id == loaded.config.pad_token_id == loaded.generation_config.pad_token_id == 100
    assert all(name.endswith((".safetensors", ".json", ".jinja")) for name in files(tmp_path / "saved"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "base")


def lora_policy(folder: Path, base: Path, **changes: Any) -> Any:
    """An adapter trained on two batches, as it is in memory."""
    model, _ = load_policy(ModelSpec(path=str(base)), folder, seed=0)
    work = job(PairObjective("sft"), n=16, lora=LORA, base_path=str(base), learning_rate=0.5, **changes)
    fit_policy(model, make_tokenizer(), work, folder / "work", folder / "saved")
    return model


def test_adapters_are_saved_alone_and_loaded_on_their_base(tmp_path: Path, base: Path) -> None:
    model = lora_policy(tmp_path, base)
    start = values(load_policy(ModelSpec(path=str(base)), tmp_path, seed=0)[0])
    loaded, _ = load_saved_policy(tmp_path / "saved")
    assert (values(loaded) - values(model)).abs().max() <= 1e-6
    assert (values(loaded) - start).abs().max() > 1e-3
    weights_there = {name for name in files(tmp_path / "saved") if name.endswith((".safetensors", ".bin"))}
    assert weights_there == {"adapter_model.safetensors"}
    config = json.loads((tmp_path / "saved" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["task_type"]) == (str(base), "CAUSAL_LM")
    assert json.loads((tmp_path / "saved" / "base.json").read_text()) == {"dtype": "float32"}
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_an_adapter_goes_on_being_trained(tmp_path: Path, base: Path) -> None:
    """SFT, then DPO from there: one adapter, its base untouched, nothing of TRL's reference copy saved."""
    lora_policy(tmp_path / "sft", base)
    model, tokenizer = load_saved_policy(tmp_path / "sft" / "saved", trainable=True)
    before = values(model)
    work = job(PairObjective("dpo"), n=16, lora=LORA, base_path=str(base), learning_rate=0.5)
    fit_policy(model, tokenizer, work, tmp_path / "work", tmp_path / "saved")
    loaded, _ = load_saved_policy(tmp_path / "saved")
    assert list(loaded.peft_config) == ["default"]
    assert (values(loaded) - before).abs().max() > 1e-4
    assert (values(loaded) - values(model)).abs().max() <= 1e-6
    assert not any(path.is_dir() for path in (tmp_path / "saved").iterdir())
    whole, _ = load_policy(ModelSpec(path=str(base)), tmp_path, seed=0)
    inner = {name.replace("base_model.model.", "").replace(".base_layer", ""): value
             for name, value in loaded.state_dict().items() if "lora_" not in name}  # fmt: skip
    assert all(torch.equal(inner[name], value) for name, value in whole.state_dict().items())


def test_save_policy_writes_what_load_saved_policy_reads(tmp_path: Path, base: Path) -> None:
    model = make_policy()
    save_policy(model, make_tokenizer(), tmp_path / "full", "")
    assert torch.equal(weights(load_saved_policy(tmp_path / "full")[0]), weights(model))
    adapted = lora_policy(tmp_path / "lora", base)
    inner, tokenizer = load_saved_policy(tmp_path / "lora" / "saved", trainable=True)
    save_policy(inner, tokenizer, tmp_path / "again", str(base))
    assert (values(load_saved_policy(tmp_path / "again")[0]) - values(adapted)).abs().max() <= 1e-6
    assert not {"README.md", "training_args.bin"} & files(tmp_path / "again")


class Stop(Exception):
    """A run that ends in the middle."""


@pytest.mark.parametrize(
    "objective",
    [
        PairObjective("dpo", alpha=0.5),
        PairObjective("simpo", beta=2.0, student=LossSpec(name="aux_confidence")),
        PairObjective("wspo"),
        PairObjective("sepo", alpha=0.5),
    ],
    ids=["dpo", "aux", "wspo", "sepo"],
)
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, objective: PairObjective) -> None:
    arguments: dict[str, Any] = {"optim": "adamw_torch", "save_steps": 3, "n": 80}
    arguments |= {"lora": LORA} if objective.name == "wspo" else {}
    undisturbed, losses = train(tmp_path / "whole", job(objective, **arguments))

    def stop(step: int, _: int) -> None:
        if step == 7:
            raise Stop

    stopped = job(objective, **arguments)
    stopped.progress = stop
    with pytest.raises(Stop):
        train(tmp_path / "two", stopped)
    checkpoint = tmp_path / "two" / "work" / "checkpoint-6"
    assert (checkpoint / "w2s-complete.json").is_file()
    seen: list[int] = []
    again = job(objective, **arguments)
    again.progress = lambda step, _: seen.append(step)
    resumed, other_losses = train(tmp_path / "two", again)
    assert seen == [7, 8, 9, 10]
    assert torch.equal(resumed, undisturbed)
    assert other_losses == losses


def test_new_tokens_are_the_same_every_time(tmp_path: Path, base: Path) -> None:
    """A pad token that the vocabulary lacks: an adapter's log-probabilities survive loading, padded or not."""
    from peft import LoraConfig, get_peft_model

    full, _ = load_policy(ModelSpec(path=str(base)), tmp_path, seed=0)
    full.resize_token_embeddings(103)
    full.save_pretrained(base)
    spec = ModelSpec(path=str(base), pad_token="<|new pad|>")
    model, tokenizer = load_policy(spec, tmp_path, seed=0)
    assert tokenizer.pad_token_id == 103
    head = model.get_output_embeddings().weight
    assert len(head) == model.get_input_embeddings().num_embeddings == 104
    assert torch.allclose(head[103], head[:103].mean(dim=0))
    again, _ = load_policy(spec, tmp_path, seed=1)
    assert torch.equal(weights(model), weights(again))
    ids, starts = [[1, 2, 3, 101], [4, 5, 6, 7, 8, 101]], [1, 2]
    expected = logprob_ids(model, ids, starts, 103)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **LORA))
    save_policy(adapted, tokenizer, tmp_path / "lora", str(base))
    loaded, loaded_tokenizer = load_saved_policy(tmp_path / "lora")
    assert logprob_ids(loaded, ids, starts, loaded_tokenizer.pad_token_id) == pytest.approx(expected, abs=1e-5)


def test_random_weights_from_a_configuration(tmp_path: Path, base: Path) -> None:
    spec = ModelSpec(path=str(base), from_config={"num_hidden_layers": 1}, dtype="bfloat16")
    one, two, other = (load_policy(spec, tmp_path, seed=seed)[0] for seed in (0, 0, 1))
    assert one.config.num_hidden_layers == 1
    assert one.dtype == torch.bfloat16
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))


def test_what_is_no_policy_is_a_sentence(tmp_path: Path, base: Path) -> None:
    from conftest import make_model

    make_model().save_pretrained(tmp_path / "reward")
    make_tokenizer().save_pretrained(tmp_path / "reward")
    with pytest.raises(W2SError, match=r"is no language model: it has no weights for lm_head\.weight"):
        load_saved_policy(tmp_path / "reward")
    with pytest.raises(W2SError, match="no such folder"):
        load_saved_policy(tmp_path / "nothing")
    with pytest.raises(W2SError, match="freeze_backbone leaves a policy nothing to train"):
        load_policy(ModelSpec(path=str(base), freeze_backbone=True), tmp_path, seed=0)
    lora_policy(tmp_path / "lora", base)
    os.rename(base, tmp_path / "elsewhere")
    with pytest.raises(W2SError, match="neither a folder here nor in the local hub cache"):
        load_saved_policy(tmp_path / "lora" / "saved")


def test_an_adapter_of_the_head_is_refused(tmp_path: Path, base: Path) -> None:
    model, tokenizer = load_policy(ModelSpec(path=str(base)), tmp_path, seed=0)
    work = job(PairObjective("sft"), n=8, lora={**LORA, "target_modules": ["lm_head"]})
    with pytest.raises(W2SError, match="lora: Applying a PEFT adapter to `lm_head` is not supported"):
        fit_policy(model, tokenizer, work, tmp_path / "work", tmp_path / "saved")
