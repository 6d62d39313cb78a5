"""The last layer's MLP on the columns that are read: how many, which models, and that no gradient notices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from float64 import EXACT
from rows_helpers import PAD, make
from torch.nn.functional import softplus

from w2s_pref.models.batches import Row, collate, read_heads, read_logprobs
from w2s_pref.models.batches.read import _call

#: "1 2 3" then "4 5" or "6"; and "7" then "8" or "9 9".
TWO = [Row(([1, 2, 3, 4, 5], [1, 2, 3, 6]), (3, 3)), Row(([7, 8], [7, 9, 9]), (1, 1))]


def widths(model: Any, layer: int) -> list[int]:
    """Tokens of every call of a layer's MLP from now on."""
    seen: list[int] = []
    mlp = model.model.layers[layer].mlp.gate_proj
    mlp.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape[:-1].numel()))
    return seen


@pytest.mark.parametrize("head", ["reward", "policy"])
def test_columns_by_hand(head: str) -> None:
    """Two rows of 6 columns: rewards are read in 4, and the predictors of 6 response tokens are 2 3 6 2 6 8."""
    model = make("Llama", head)
    first, last = widths(model, 0), widths(model, 1)
    (read_heads if head == "reward" else read_logprobs)(model, collate(TWO, PAD, "shared"))
    assert (first, last) == ([12], [4])
    assert not model.model.layers[1].mlp._forward_hooks
    assert not model.model.layers[1].mlp._forward_pre_hooks


@pytest.mark.usefixtures("float64")
def test_rewards_and_gradients_are_those_of_whole_layers() -> None:
    model, batch = make("Llama", "reward"), collate(TWO, PAD, "shared")
    seen: list[torch.Tensor] = []
    handle = model.score.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    _call(model, batch)
    handle.remove()
    whole = seen[0].flatten(0, 1)[batch.last.flatten()].view(2, 2, 1)
    outputs = read_heads(model, batch)
    assert (outputs - whole).abs().max() <= EXACT
    first, second = (
        torch.autograd.grad(softplus(each[1] - each[0]).mean(), list(model.parameters())) for each in (outputs, whole)
    )
    assert max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True)) <= EXACT


def test_a_layer_that_is_computed_again_stays_whole() -> None:
    """The hooks are gone by then; in evaluation nothing is computed again."""
    model = make("Llama", "reward")
    model.gradient_checkpointing_enable()
    last = widths(model, 1)
    read_heads(model.train(), collate(TWO, PAD, "shared")).sum().backward()
    assert last == [12, 12]
    read_heads(model.eval(), collate(TWO, PAD, "shared"))
    assert last == [12, 12, 4]


def test_the_padded_layout_stays_whole() -> None:
    """A model pools by the last token that is no padding, which a text may end in."""
    model = make("Llama", "reward")
    last = widths(model, 1)
    read_heads(model, collate(TWO, PAD, "padded"))
    assert last == [20]


def test_fsdp_wraps_a_layer_that_is_computed_again() -> None:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    model = make("Llama", "reward")
    model.model.layers[1] = checkpoint_wrapper(model.model.layers[1])
    last = widths(model, 1)
    read_heads(model.train(), collate(TWO, PAD, "shared")).sum().backward()
    assert last == [12, 12]
