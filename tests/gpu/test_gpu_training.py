"""Training on a GPU: equal to the CPU, in bfloat16, with an adapter, resumed, and under FSDP2 on one device."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, copy_tiny
from gpu_helpers import GPU, PAD, make, policy_job, reward_job, train
from processes import ENVIRONMENT

from w2s_pref.models.batches import budget, layout_of
from w2s_pref.training import sharding

pytestmark = GPU
JOBS: dict[str, Callable[..., Any]] = {"reward": reward_job, "dpo": policy_job}


@pytest.mark.parametrize("kind", JOBS)
def test_equals_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, record_property: Any) -> None:
    """Ten steps of SGD in float32.

    A gradient, clipped to norm 1, is a sum over 8 pairs of up to 80 tokens in 2 layers of sums of up to 256 products:
    rounding errs by sqrt(8 * 80 * 256) * 6e-8 = 2.4e-5 of it, were all terms of one size. Ten steps of a rate that
    falls from .01 (mean .005) move a weight by at most 10 * .005 * 2.4e-5 = 1.2e-6; a loss is some 4 of those apart
    for every unit of gradient norm. Ten times that, for errors that later steps carry on.
    """
    ours, losses, _ = train(tmp_path / "gpu", JOBS[kind]())
    monkeypatch.setattr(sharding, "device_arguments", lambda _here: {"use_cpu": True})
    expected, expected_losses, model = train(tmp_path / "cpu", JOBS[kind]())
    assert next(model.parameters()).device.type == "cpu"
    apart = float((ours - expected).abs().max())
    record_property("weights_apart", apart)
    record_property("losses_apart", max(abs(a - b) for a, b in zip(losses, expected_losses, strict=True)))
    start = torch.cat([each.detach().flatten() for each in make(kind == "dpo").parameters()])
    assert (expected - start).abs().max() > 1e-4
    assert apart <= 1.2e-5
    assert losses == pytest.approx(expected_losses, abs=1e-4)


@pytest.mark.parametrize("kind", JOBS)
def test_bfloat16_trains(tmp_path: Path, kind: str) -> None:
    """Autocast: weights stay float32, the loss of one repeated batch falls."""
    job = JOBS[kind](8, bf16=True, num_train_epochs=20, learning_rate=1.0e-3, optim="adamw_torch")
    _, losses, model = train(tmp_path, job)
    assert next(model.parameters()).dtype == torch.float32
    assert len(losses) == 20
    assert losses[-1] < 0.9 * losses[0]


def test_dpo_with_an_adapter_trains(tmp_path: Path) -> None:
    """LoRA in bfloat16: only the adapter moves."""
    lora = {"r": 8, "target_modules": ["q_proj", "v_proj"]}
    job = policy_job(8, lora=lora, bf16=True, num_train_epochs=20, learning_rate=1.0e-2, optim="adamw_torch")
    model = make(policy=True)
    before = model.model.layers[0].mlp.up_proj.weight.detach().clone()
    _, losses, model = train(tmp_path, job, model)
    assert losses[-1] < 0.9 * losses[0]
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight.cpu(), before)
    assert (tmp_path / "saved" / "adapter_model.safetensors").is_file()


class Stop(Exception):
    """A run that ends in the middle."""


@pytest.mark.parametrize("kind", JOBS)
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, kind: str) -> None:
    """As on the CPU. The undisturbed training is run twice, to tell a resume that errs from a kernel that does."""
    arguments = {"optim": "adamw_torch", "save_steps": 3, "learning_rate": 1.0e-3}
    undisturbed, losses, _ = train(tmp_path / "whole", JOBS[kind](**arguments))
    again, again_losses, _ = train(tmp_path / "again", JOBS[kind](**arguments))
    assert torch.equal(again, undisturbed), f"two equal trainings differ by {(again - undisturbed).abs().max():.1e}"
    assert again_losses == losses

    def stop(step: int, _: int) -> None:
        if step == 7:
            raise Stop

    stopped = JOBS[kind](**arguments)
    stopped.progress = stop
    with pytest.raises(Stop):
        train(tmp_path / "two", stopped)
    assert (tmp_path / "two" / "work" / "checkpoint-6" / "w2s-complete.json").is_file()
    seen: list[int] = []
    resumed = JOBS[kind](**arguments)
    resumed.progress = lambda step, _: seen.append(step)
    weights, resumed_losses, _ = train(tmp_path / "two", resumed)
    assert seen == [7, 8, 9, 10]
    assert torch.equal(weights, undisturbed), f"resumed differs by {(weights - undisturbed).abs().max():.1e}"
    assert resumed_losses == losses


def test_tokens_at_once_are_those_that_memory_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the memory that no gradient or moment will take, over what a token takes, logits included."""
    model = make(policy=True).to("cuda")
    assert layout_of(model, PAD) == "shared"
    assert budget.tokens_at_once(model) == budget.GPU_TOKENS
    monkeypatch.setattr(budget, "GPU_TOKENS", sys.maxsize)
    free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    bytes_to_come = (3 + 0.5) * sum(weight.nbytes for weight in model.parameters())
    expected = budget.MEMORY_USED * (free - bytes_to_come) / budget.token_bytes(model)
    assert budget.tokens_at_once(model) == pytest.approx(expected, rel=0.05)
    assert expected > budget.most_tokens(model)


def test_four_bits_under_an_adapter(tmp_path: Path) -> None:
    """QLoRA: the base model is loaded in 4 bits, the adapter trains."""
    if find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed; pip install 'w2s-pref[qlora]'")
    from conftest import save_tiny

    from w2s_pref.models.policies import load_policy
    from w2s_pref.models.spec import ModelSpec

    lora = {"r": 8, "target_modules": ["q_proj"]}
    base = str(save_tiny(tmp_path / "base", hidden=128))
    model, _ = load_policy(ModelSpec(path=base, lora=lora, quantization={"load_in_4bit": True}), tmp_path, 0)
    job = policy_job(8, lora=lora, num_train_epochs=20, optim="adamw_torch", bf16=True)
    _, losses, _ = train(tmp_path, job, model)
    assert losses[-1] < losses[0]


def test_fsdp2_on_one_device(original: Path, tmp_path: Path) -> None:
    """The launch of docs/scale.md with one process: reward models and a DPO policy, saved whole and scored again."""
    recipe = copy_tiny(original, tmp_path / "study") / "tiny.yaml"
    changes = [
        "seeds=[0]", "arms={direct: [weak, strong]}", "conflict.settings=[none]", "students=[reward, dpo]",
        "methods={dpo: {pre_stage: false}}", "speech.prompts=0",
        "data.splits={gt: 32, w2s: 32, test: 32, conflict: 32, conflict_test: 16}",
    ]  # fmt: skip
    config = ROOT / "accelerate_configs" / "fsdp2.yaml"
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    options = ["--num_processes", "1", "--main_process_port", "29517"]
    words = [*launcher, *options, str(ROOT / "recipes" / "run.py"), str(recipe), *changes]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert (recipe.parent / "runs" / "tiny" / "results.json").is_file()
