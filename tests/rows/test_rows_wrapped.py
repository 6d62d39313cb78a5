"""Rows through wrapped models: hooks of ours beside those of DDP and FSDP, which gather and share weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from float64 import EXACT
from rows_helpers import PAD, make, pairs
from torch import Tensor
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from w2s_pref.models.batches import budget, collate, layout_of, read_heads, read_logprobs
from w2s_pref.models.batches.wrapped import inner


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def loss_of(model: Any, head: str) -> Tensor:
    batch = collate(pairs(8), PAD, layout_of(model, PAD))
    values = read_heads(model, batch)[..., 0] if head == "reward" else read_logprobs(model, batch)[0]
    return torch.nn.functional.softplus(values[1] - values[0]).mean()


def gradients(model: Any) -> dict[str, Tensor]:
    found = {}
    for name, parameter in inner(model).named_parameters():
        grad = parameter.grad
        assert grad is not None, name
        found[name] = grad.full_tensor() if hasattr(grad, "full_tensor") else grad
    return found


def ddp(model: Any) -> Any:
    return DistributedDataParallel(model)


def ddp_looking_for_unused(model: Any) -> Any:
    """It walks back from what ``forward`` returns: everything has to hang on that too."""
    return DistributedDataParallel(model, find_unused_parameters=True)


def fsdp(model: Any) -> Any:
    mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


@pytest.mark.usefixtures("float64")
@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("head", ["reward", "policy"])
@pytest.mark.parametrize("wrap", [ddp, ddp_looking_for_unused, fsdp])
def test_gradients_are_those_of_the_plain_model(wrap: Any, head: str) -> None:
    plain, model = make("Llama", head), wrap(make("Llama", head))
    assert layout_of(model, PAD) == "shared"
    assert budget.tokens_at_once(model) == budget.tokens_at_once(plain)
    losses = [loss_of(each, head) for each in (plain, model)]
    assert losses[1].item() == pytest.approx(losses[0].item(), abs=EXACT)
    for loss in losses:
        loss.backward()
    expected, found = gradients(plain), gradients(model)
    assert found.keys() == expected.keys()
    for name in expected:
        assert (found[name] - expected[name]).abs().max() <= EXACT, name


def test_compiled_and_adapted_models_are_unwrapped() -> None:
    from peft import LoraConfig, get_peft_model

    model = make("Llama", "reward")
    assert inner(torch.compile(model)) is model
    assert inner(get_peft_model(model, LoraConfig(r=2, task_type="SEQ_CLS"))) is model
