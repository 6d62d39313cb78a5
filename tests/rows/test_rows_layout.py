"""Which models may share prompts: a check on the model itself, one logged line where it fails, nothing left behind."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
import transformers as t
from float64 import EXACT
from rows_helpers import EOS, GROUPED, PAD, SHAPE, SPECIAL, make, pairs

from w2s_pref.models.batches import RowBatch, collate, layout_of, read_heads, read_logprobs, training_layout
from w2s_pref.models.batches import layout as layout_room
from w2s_pref.models.batches.read import FLEX_KERNELS, counting
from w2s_pref.models.scoring import score_ids

TINY: dict[str, Any] = {"vocab_size": 104, "eos_token_id": EOS, "pad_token_id": PAD, "bos_token_id": None}
STUBBORN = {
    "Bloom": lambda: t.BloomConfig(**TINY, hidden_size=32, n_layer=2, n_head=4),
    "Mamba": lambda: t.MambaConfig(**TINY, hidden_size=32, num_hidden_layers=2, state_size=4),
}


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = (record for record in caplog.records if record.name.startswith("w2s_pref"))
    return [record.message for record in ours if record.levelno >= logging.WARNING]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("family", STUBBORN)
def test_one_line_for_a_model_that_cannot(family: str, caplog: pytest.LogCaptureFixture) -> None:
    """ALiBi reads distances off the mask; a state-space model has no mask at all. Padded they are as ever."""
    model = make(family, "policy", config=STUBBORN[family]())
    assert [layout_of(model, PAD) for _ in range(3)] == ["padded"] * 3
    (line,) = lines(caplog)
    assert line.startswith(f"{family}ForCausalLM: the prompt of a pair is computed twice")
    rows = pairs(4)
    sums, _ = read_logprobs(model, collate(rows, PAD, layout_of(model, PAD)))
    alone = [[read_logprobs(model, collate([row], PAD, "padded"))[0][side].item() for row in rows] for side in (0, 1)]
    assert sums.tolist() == [pytest.approx(each, abs=EXACT) for each in alone]


@pytest.mark.usefixtures("float64")
def test_sliding_window(caplog: pytest.LogCaptureFixture) -> None:
    """Shared while every text fits into the window of 18, and there equal; longer ones take the model's own mask."""
    model = make("Mistral", "reward", config=t.MistralConfig(**GROUPED, sliding_window=18))
    rows = [row for row in pairs(30) if max(map(len, row.texts)) <= 18]
    assert max(row.tokens for row in rows) > 18
    assert layout_of(model, PAD, longest=18) == "shared"
    shared, padded = (read_heads(model, collate(rows, PAD, layout)) for layout in ("shared", "padded"))
    assert (shared - padded).abs().max() <= EXACT
    assert [layout_of(model, PAD, longest=19), layout_of(model, PAD, longest=60)] == ["padded", "padded"]
    (line,) = lines(caplog)
    assert "window of 18" in line


def test_trainings_of_large_models_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a hidden size on, and with an attention that can be called for each row."""
    model = make("Llama", "reward")
    assert training_layout(model, PAD) == "shared"
    monkeypatch.setattr(layout_room, "PACKED_FROM", 32)
    assert training_layout(model, PAD) == "packed"
    window = make("Mistral", "reward", config=t.MistralConfig(**GROUPED, sliding_window=18))
    assert training_layout(window, PAD, longest=18) == "shared"
    model.set_attn_implementation("eager")
    assert training_layout(model, PAD) == "shared"


def test_a_window_that_the_check_itself_exceeds(caplog: pytest.LogCaptureFixture) -> None:
    model = make("Mistral", "reward", config=t.MistralConfig(**GROUPED, sliding_window=4))
    assert layout_of(model, PAD) == "padded"
    assert "differ by" in lines(caplog)[0]


def test_local_attention_counts_columns() -> None:
    """GPT-Neo's local layers look back over columns, so a whole row has to fit: half the window."""
    config = t.GPTNeoConfig(
        **{**SHAPE, **SPECIAL}, attention_types=[[["global", "local"], 1]], num_layers=2, num_heads=4, window_size=40
    )
    model = make("GPTNeo", "policy", config=config)
    assert layout_of(model, PAD, longest=20) == "shared"
    assert layout_of(model, PAD, longest=21) == "padded"


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
def test_encoders_are_padded_without_a_word(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    config = getattr(t, f"{kind}Config")(**{**SHAPE, **SPECIAL, "max_position_embeddings": 128}, intermediate_size=64)
    model, rows = make(kind, "reward", config=config).eval(), pairs(5)
    assert layout_of(model, PAD) == "padded"
    assert lines(caplog) == []
    heads = read_heads(model, collate(rows, PAD, "padded"))
    alone = [score_ids(model, [row.texts[0] for row in rows], PAD, budget=1), score_ids(model, [rows[0].texts[1]], PAD)]
    assert heads[0, :, 0].tolist() == pytest.approx(alone[0].tolist(), abs=EXACT)
    assert heads[1, 0, 0].item() == pytest.approx(alone[1][0], abs=EXACT)


@pytest.mark.usefixtures("float64")
def test_virtual_tokens_are_padded(caplog: pytest.LogCaptureFixture) -> None:
    """An adapter that puts tokens in front; log-probabilities are read behind them."""
    from peft import PromptTuningConfig, get_peft_model

    model = get_peft_model(make("Llama", "policy"), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    assert layout_of(model, PAD) == "padded"
    assert len(lines(caplog)) == 1
    row = pairs(4)[0]
    text, start = torch.tensor([row.texts[0]]), row.starts[0]
    model.eval()
    logits = model(input_ids=text, attention_mask=torch.ones_like(text)).logits[0, 3:]
    steps = torch.log_softmax(logits[start - 1 : -1], dim=-1).gather(1, text[0, start:, None])
    assert read_logprobs(model, collate([row], PAD, "padded"))[0][0, 0].item() == pytest.approx(
        steps.sum().item(), abs=EXACT
    )


def test_a_head_of_zeros_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The check compares what the head is given: outputs of a new head may all be equal."""
    model = make("Bloom", "reward", config=STUBBORN["Bloom"]())
    torch.nn.init.zeros_(model.score.weight)
    assert layout_of(model, PAD) == "padded"
    model = make("Mistral", "reward", config=t.MistralConfig(**GROUPED, sliding_window=4))
    torch.nn.init.zeros_(model.score.weight)
    assert layout_of(model, PAD) == "padded"


@pytest.mark.usefixtures("float64")
@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_long_texts_on_a_gpu_try_flex_attention(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, and kept where the check holds (uncompiled here); back to SDPA with a line where it does not."""
    from w2s_pref.models.batches import layout

    model, rows = make("Llama", "reward"), pairs(5)
    expected = read_heads(model, collate(rows, PAD, "padded"))
    assert layout_of(model, PAD, longest=5000) == "shared"
    assert model.config._attn_implementation == "sdpa"  # a CPU
    monkeypatch.setattr(layout, "_flex_pays", lambda _model, longest: longest is not None and longest >= 2048)
    with torch.compiler.set_stance("force_eager"), torch.no_grad():
        assert layout_of(model, PAD, longest=100) == "shared"
        assert model.config._attn_implementation == "sdpa"
        assert layout_of(model, PAD, longest=5000) == "shared"
        assert model.config._attn_implementation == "flex_attention"
        assert torch._dynamo.config.recompile_limit >= FLEX_KERNELS  # or it would compute uncompiled
        assert (read_heads(model, collate(rows, PAD, "shared")) - expected).abs().max() <= EXACT
    assert lines(caplog) == []
    other = make("Llama", "reward")
    monkeypatch.setattr(layout, "_difference", lambda *_: "" if other.config._attn_implementation == "sdpa" else "no")
    assert [layout_of(other, PAD, longest=5000) for _ in range(2)] == ["shared", "shared"]
    assert other.config._attn_implementation == "sdpa"
    assert lines(caplog) == ["LlamaForSequenceClassification: SDPA instead of FlexAttention: no"]


def test_leaves_modes_random_state_and_weights() -> None:
    model = make("Llama", "reward")
    model.train()
    model.model.norm.eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    layout_of(model, PAD)
    assert torch.equal(torch.rand(3), expected)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.score._forward_hooks


def test_the_check_is_made_where_the_model_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows on another device would fail like a model that cannot share: padded on every GPU, with one line."""
    moved, to = [], RowBatch.to

    def noted(batch: RowBatch, device: torch.device) -> RowBatch:
        moved.append(device)
        return to(batch, device)

    monkeypatch.setattr(RowBatch, "to", noted)
    model = make("Llama", "reward")
    assert layout_of(model, PAD) == "shared"
    assert moved == [next(model.parameters()).device] * 4


def test_decided_once() -> None:
    model = make("Llama", "reward")
    with counting() as first:
        layout_of(model, PAD)
    with counting() as second:
        layout_of(model, PAD, longest=50)
    assert first.positions > 0
    assert (second.positions, second.real) == (0, 0)


def test_forward_tokens() -> None:
    """Two rows in 6 columns, 10 of the 12 positions real."""
    from w2s_pref.models.batches import Row

    model = make("Llama", "reward")
    with counting() as outer:
        with counting() as seen:
            read_heads(model, collate([Row(([1, 2, 3, 4, 5], [1, 2, 3, 6])), Row(([7, 8], [7, 9, 9]))], PAD, "shared"))
        read_heads(model, collate([Row(([1, 2],))], PAD, "padded"))
    assert (seen.positions, seen.real) == (12, 10)
    assert (outer.positions, outer.real) == (14, 12)
