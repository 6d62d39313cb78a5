"""Rows on a GPU, shared (by SDPA, by FlexAttention) and packed: equal to stock padded texts, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gpu_helpers import GPU, PAD, make, pairs
from torch import Tensor
from torch.nn.functional import softplus

from w2s_pref.models.batches import (
    Layout,
    collate,
    layout_of,
    packed,
    read_heads,
    read_logprobs,
    training_layout,
    varlen,
)
from w2s_pref.models.batches.batch import filled
from w2s_pref.models.batches.layout import FLEX_FROM, PACKED_FROM

pytestmark = GPU
#: Rounding errors of float32 that two ways to one sum of a few hundred products may differ by, relative to the largest
#: entry: the check of the layouts allows as many (``layout._rounding``).
APART = 100 * torch.finfo(torch.float32).eps


def reward_loss(model: Any, layout: Layout, longest: int) -> Tensor:
    heads = read_heads(model, collate(pairs(12, longest), PAD, layout).to("cuda"))[..., 0]
    return softplus(heads[1] - heads[0]).mean()


def policy_loss(model: Any, layout: Layout, longest: int) -> Tensor:
    sums, _ = read_logprobs(model, collate(pairs(12, longest), PAD, layout).to("cuda"))
    return softplus(-0.1 * (sums[0] - sums[1])).mean()


LAYOUTS: tuple[Layout, ...] = ("shared", "packed", "padded")
LOSSES: dict[str, Callable[[Any, Layout, int], Tensor]] = {"reward": reward_loss, "policy": policy_loss}


def gradients(model: Any, loss: Tensor) -> Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


def assert_equal(model: Any, one: Tensor, other: Tensor, record_property: Any) -> None:
    first, second = gradients(model, one), gradients(model, other)
    apart = float((first - second).abs().max() / second.abs().max())
    record_property("loss_apart", abs(one.item() - other.item()))
    record_property("gradients_apart", apart)
    assert one.item() == pytest.approx(other.item(), rel=APART)
    assert apart <= APART


@pytest.mark.parametrize("head", LOSSES)
def test_a_gpu_shares_prompts(head: str, caplog: pytest.LogCaptureFixture) -> None:
    """The check is made on the model's device: no line, no padding."""
    assert layout_of(make(head == "policy").to("cuda"), PAD) == "shared"
    assert [line for line in caplog.messages if "padded" in line] == []


@pytest.mark.parametrize("layout", ["shared", "packed"])
@pytest.mark.parametrize("head", LOSSES)
def test_rows_equal_padded_texts(head: str, layout: Layout, record_property: Any) -> None:
    model = make(head == "policy").to("cuda")
    found, padded = (LOSSES[head](model, each, 200) for each in (layout, "padded"))
    assert_equal(model, found, padded, record_property)


def test_trainings_of_large_models_are_packed(caplog: pytest.LogCaptureFixture) -> None:
    """Where the check holds, under autocast too."""
    model = make(policy=False, hidden=PACKED_FROM).to("cuda")
    assert training_layout(model, PAD) == "packed", caplog.messages
    with torch.autocast("cuda", torch.bfloat16):
        assert training_layout(model, PAD) == "packed", caplog.messages
    assert training_layout(make(policy=False).to("cuda"), PAD) == "shared"


@pytest.mark.parametrize("head", LOSSES)
def test_packed_rows_give_the_same_bits_twice(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several groups, each of rows of 64 tokens at most: of longer ones torch's kernel adds up parts in any order."""
    monkeypatch.setattr(packed, "GROUP_OVERHEAD", 16)
    model = make(head == "policy").to("cuda")
    one, other = (gradients(model, LOSSES[head](model, "packed", 40)) for _ in range(2))
    assert torch.equal(one, other), f"they differ by {(one - other).abs().max():.1e}"


@pytest.mark.parametrize("head", LOSSES)
def test_flex_attention_equals_sdpa(head: str, record_property: Any) -> None:
    """Compiled, in training mode, of two widths (the second is compiled for any width)."""
    model = make(head == "policy").to("cuda").train()
    for longest in (200, 300):
        expected = LOSSES[head](model, "shared", longest)
        model.set_attn_implementation("flex_attention")
        found = LOSSES[head](model, "shared", longest)
        assert_equal(model, found, expected, record_property)
        model.set_attn_implementation("sdpa")


def test_long_texts_take_flex_attention(caplog: pytest.LogCaptureFixture) -> None:
    """From ``FLEX_FROM`` tokens on, where the check holds."""
    model = make(policy=False).to("cuda")
    assert layout_of(model, PAD, longest=100) == "shared"
    assert model.config._attn_implementation == "sdpa"
    assert layout_of(model, PAD, longest=FLEX_FROM) == "shared"
    assert model.config._attn_implementation == "flex_attention", caplog.messages


@pytest.mark.parametrize("head", LOSSES)
def test_bfloat16_rounds_by_its_own_size(head: str) -> None:
    """The losses of all layouts under autocast: sums of some 100 numbers of 8 bits, 100 / 2 ** 8 / sqrt(100) of 1."""
    model = make(head == "policy").to("cuda")
    with torch.autocast("cuda", torch.bfloat16):
        *found, padded = (LOSSES[head](model, layout, 200).item() for layout in LAYOUTS)
    assert found == pytest.approx([padded] * 2, rel=0.04)


def test_half_precision_needs_no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch has the kernel here, and a model under autocast reads its rows by it alone."""
    monkeypatch.setattr(packed, "_in_groups", lambda _batch: pytest.fail("rows in groups"))
    model = make(policy=False).to("cuda")
    with torch.autocast("cuda", torch.bfloat16):
        assert gradients(model, reward_loss(model, "packed", 200)).isfinite().all()


@pytest.mark.parametrize("size", [64, 128])
def test_the_kernel_for_sequences_is_attention_in_groups(size: int, record_property: Any) -> None:
    """6 heads on 2 of keys in bfloat16, of 8 bits, against groups in 32: outputs and gradients of query, key, value."""
    batch = filled(collate(pairs(24, 300), PAD, "packed")).to("cuda")
    real, columns = sum(batch.sizes), batch.input_ids.shape[1]
    torch.manual_seed(0)
    values = [torch.randn(1, heads, columns, size, device="cuda").bfloat16() for heads in (6, 2, 2)]
    weights = torch.randn(1, real, 6, size, device="cuda")
    found, expected = [], []
    for kept, attend, dtype in (
        (found, lambda *three: varlen.attended(*three, batch.sequences, None), torch.bfloat16),
        (expected, lambda *three: packed._in_groups(batch)(*three, 0.0, None), torch.float32),
    ):
        leaves = [each.detach().clone().to(dtype).requires_grad_() for each in values]
        output = attend(*leaves)[:, :real]
        (output.float() * weights).sum().backward()
        kept += [output.detach().float(), *(each.grad[:, :, :real].float() for each in leaves)]
    apart = [float((one - other).norm() / other.norm()) for one, other in zip(found, expected, strict=True)]
    record_property("apart", apart)
    assert max(apart) < 0.01
    assert all(each.isfinite().all() for each in found)
