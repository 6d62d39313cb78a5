"""Shared prompts give the loss and the gradients of padded texts: every family, heads and responses, wrapped or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from float64 import EXACT
from rows_helpers import CONFIGS, PAD, make, pairs
from torch import Tensor
from torch.nn.functional import softplus

from w2s_pref.models.batches import Layout, Row, budget, collate, layout_of, read_heads, read_logprobs, row_length

FAMILIES = list(CONFIGS)
Loss = Callable[[Any, list[Row], Layout], Tensor]


def reward_loss(model: Any, rows: list[Row], layout: Layout) -> Tensor:
    """Summed Bradley-Terry loss."""
    heads = read_heads(model, collate(rows, PAD, layout))[..., 0]
    return softplus(heads[1] - heads[0]).sum()


def policy_loss(model: Any, rows: list[Row], layout: Layout) -> Tensor:
    """Summed DPO-like loss, of sums and of means."""
    sums, counts = read_logprobs(model, collate(rows, PAD, layout))
    means = sums / counts.clamp(min=1)
    return softplus(-0.1 * (sums[0] - sums[1])).sum() + softplus(means[1] - means[0]).sum()


LOSSES: dict[str, Loss] = {"reward": reward_loss, "policy": policy_loss}


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


def assert_equal(model: Any, first: Tensor, second: Tensor) -> None:
    """Losses and gradients."""
    assert first.item() == pytest.approx(second.item(), rel=EXACT, abs=EXACT)
    one, two = gradients(model, first), gradients(model, second)
    assert one.keys() == two.keys()
    scale = max(1.0, *(float(grad.abs().max()) for grad in two.values()))
    assert scale > 0.01
    for name in one:
        assert (one[name] - two[name]).abs().max() <= EXACT * scale, name


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("head", ["reward", "policy"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", ["shared", "packed"])
def test_shared_equals_padded(family: str, head: str, layout: Layout) -> None:
    model, rows = make(family, head), pairs(8)
    assert layout_of(model, PAD) == "shared"
    mean = [LOSSES[head](model, rows, each) / len(rows) for each in (layout, "padded")]
    assert_equal(model, *mean)
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("head", ["reward", "policy"])
def test_micro_batches_equal_one_padded_batch(head: str) -> None:
    model, rows = make("Llama", head), pairs(12)
    groups = budget.split([row_length(row, "shared") for row in rows], 60, overhead=0)
    assert len(groups) > 3
    parts = sum(LOSSES[head](model, [rows[row] for row in group], "shared") for group in groups)
    assert isinstance(parts, Tensor)
    assert_equal(model, parts / len(rows), LOSSES[head](model, rows, "padded") / len(rows))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("head", ["reward", "policy"])
def test_under_an_adapter(head: str) -> None:
    """LoRA, with a trained copy of the head: every gradient is an adapter's or the head's."""
    from peft import LoraConfig, get_peft_model

    kind = {"reward": "SEQ_CLS", "policy": "CAUSAL_LM"}[head]
    model = get_peft_model(make("Llama", head), LoraConfig(r=2, task_type=kind, target_modules=["q_proj", "v_proj"]))
    with torch.no_grad():
        for name, each in model.named_parameters():
            if "lora_B" in name:
                each.normal_(generator=torch.Generator().manual_seed(0))
    rows = pairs(8)
    assert layout_of(model, PAD) == "shared"
    shared, padded = (LOSSES[head](model, rows, layout) / len(rows) for layout in ("shared", "padded"))
    assert_equal(model, shared, padded)
    assert any("lora_A" in name for name in gradients(model, LOSSES[head](model, rows, "shared")))


@pytest.mark.usefixtures("float64")
def test_a_new_adapter_on_the_head_of_a_policy() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        make("Llama", "policy"), LoraConfig(r=2, target_modules=["lm_head"], init_lora_weights=False)
    )
    rows = pairs(6)
    assert_equal(model, policy_loss(model, rows, "shared"), policy_loss(model, rows, "padded"))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("family", ["Llama", "GPT2", "OPT"])
def test_eager_attention(family: str) -> None:
    model, rows = make(family, "reward"), pairs(6)
    expected = read_heads(model, collate(rows, PAD, "padded"))
    model.set_attn_implementation("eager")
    assert layout_of(model, PAD) == "shared"
    assert (read_heads(model, collate(rows, PAD, "shared")) - expected).abs().max() <= EXACT


@pytest.mark.usefixtures("float64")
@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_flex_attention() -> None:
    """The block mask through transformers' own interface; uncompiled, as no compiler is needed to see it equal."""
    model, rows = make("Llama", "reward"), pairs(6)
    with torch.no_grad():
        expected = read_heads(model, collate(rows, PAD, "padded"))
        model.set_attn_implementation("flex_attention")
        with torch.compiler.set_stance("force_eager"):
            assert layout_of(model, PAD) == "shared"
            assert (read_heads(model, collate(rows, PAD, "shared")) - expected).abs().max() <= EXACT


@pytest.mark.usefixtures("float64")
def test_gradient_checkpointing() -> None:
    model, rows = make("Llama", "reward"), pairs(6)
    expected = gradients(model, reward_loss(model, rows, "padded"))
    model.gradient_checkpointing_enable()
    model.train()
    again = gradients(model, reward_loss(model, rows, "shared"))
    assert max(float((again[name] - expected[name]).abs().max()) for name in expected) <= EXACT


@pytest.mark.parametrize("head", ["reward", "policy"])
def test_autocast(head: str) -> None:
    """As accelerate wraps it; bf16 rounds differently in both layouts, but the check knows its precision."""
    model, rows = make("Llama", head), pairs(8)
    model.forward = torch.autocast("cpu", dtype=torch.bfloat16)(model.forward)
    assert layout_of(model, PAD) == "shared"
    shared, padded = (LOSSES[head](model, rows, layout).item() for layout in ("shared", "padded"))
    assert shared == pytest.approx(padded, rel=0.02)


@pytest.mark.usefixtures("float64")
def test_beside_trl_fused_head() -> None:
    """TRL replaces ``forward`` of a policy; calls without its flag are as before."""
    from trl.trainer.utils import add_fused_lm_head

    model, rows = make("Llama", "policy"), pairs(6)
    expected = policy_loss(model, rows, "padded").item()
    add_fused_lm_head(model)
    assert layout_of(model, PAD) == "shared"
    assert policy_loss(model, rows, "shared").item() == pytest.approx(expected, rel=EXACT)


def test_logits_of_responses_only() -> None:
    model, rows = make("Llama", "policy"), pairs(8)
    seen: list[torch.Size] = []
    model.lm_head.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape))
    _, counts = read_logprobs(model, collate(rows, PAD, "shared"))
    assert seen == [(1, int(counts.sum()), 104)]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("family", FAMILIES)
def test_single_texts_need_no_mask(family: str) -> None:
    """Items and single sequences: right padding, nothing behind a text is seen."""
    model, rows = make(family, "reward"), [Row((text,)) for row in pairs(6) for text in row.texts]
    shared, padded = (read_heads(model, collate(rows, PAD, layout)) for layout in ("shared", "padded"))
    assert shared.shape == (1, 12, 1)
    assert (shared - padded).abs().max() <= EXACT


@pytest.mark.usefixtures("float64")
def test_three_answers() -> None:
    model = make("Llama", "reward")
    rows = [Row(([1, 2, 3, 4], [1, 2, 5], [1, 2, 6, 7, 8])), Row(([9, 2], [9, 3, 4], [9, 5]))]
    shared, padded = (read_heads(model, collate(rows, PAD, layout)) for layout in ("shared", "padded"))
    assert shared.shape == (3, 2, 1)
    assert (shared - padded).abs().max() <= EXACT


def test_rows_without_responses_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="without starts"):
        read_logprobs(make("Llama", "policy"), collate([Row(([1, 2],))], PAD, "shared"))
