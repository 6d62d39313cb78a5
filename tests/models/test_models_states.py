"""States behind frozen layers, read instead of computed: the same gradients, scores and log-probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t
from torch import Tensor, nn

from w2s_pref.models import states
from w2s_pref.models.batches import Row, collate, layout_of, read_heads
from w2s_pref.models.batches.states import pieces
from w2s_pref.models.frozen import freeze, layers_of
from w2s_pref.models.scoring import row_logprobs

PAD = 100
SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": 104, "num_labels": 1}
CONFIGS: dict[str, Any] = {
    "llama": lambda: t.LlamaConfig(**SHAPE, intermediate_size=32, pad_token_id=PAD),
    "gpt2": lambda: t.GPT2Config(
        n_embd=16, n_layer=3, n_head=2, vocab_size=104, num_labels=1, pad_token_id=PAD, resid_pdrop=0, embd_pdrop=0,
        attn_pdrop=0,
    ),
    "bert": lambda: t.BertConfig(
        **SHAPE, intermediate_size=32, pad_token_id=PAD, hidden_dropout_prob=0, attention_probs_dropout_prob=0
    ),
    "mpnet": lambda: t.MPNetConfig(
        **SHAPE, intermediate_size=32, pad_token_id=PAD, hidden_dropout_prob=0, attention_probs_dropout_prob=0
    ),
}  # fmt: skip
ROWS = [
    Row(((1, 2, 3, 4, 5), (1, 2, 3, 9, 8, 7, 6))),
    Row(((11, 12, 13), (11, 14))),
    Row(((20, 21, 22, 23, 24, 25), (30, 31))),
]


def made(kind: str, auto: Any = t.AutoModelForSequenceClassification) -> t.PreTrainedModel:
    torch.manual_seed(0)
    model = auto.from_config(CONFIGS[kind]())
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.2)
    return model


def gradients(model: t.PreTrainedModel, rows: list[Row]) -> tuple[Tensor, dict[str, Tensor]]:
    model.train()
    heads = read_heads(model, collate(rows, PAD, layout_of(model, PAD, 8)))
    nn.functional.logsigmoid(heads[0] - heads[1]).mean().backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return heads.detach(), found


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_training_reads_what_it_would_compute(kind: str, tmp_path: Path) -> None:
    model = made(kind)
    freeze(model, 2)
    plain, wanted = gradients(model, ROWS)
    states.write(model, 2, ROWS, PAD, tmp_path)
    known = states.read([tmp_path])
    first, second = layers_of(model)[0], layers_of(model)[1]
    with states.read_by(model, 2, known, PAD):
        next(first.parameters()).data.fill_(float("nan"))  # a layer that is not computed may say anything
        heads, found = gradients(model, ROWS)
    torch.testing.assert_close(heads, plain, rtol=0, atol=1e-5)
    assert found.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-5)
    assert "forward" not in vars(first)
    assert "forward" not in vars(second)


def test_a_batch_with_an_unknown_text_is_computed(tmp_path: Path) -> None:
    model = made("llama")
    freeze(model, 1)
    states.write(model, 1, ROWS[:1], PAD, tmp_path)
    plain, _ = gradients(model, ROWS)
    with states.read_by(model, 1, states.read([tmp_path]), PAD):
        mixed, _ = gradients(model, ROWS)
    torch.testing.assert_close(mixed, plain, rtol=0, atol=0)


def test_a_policy_reads_them_too_and_what_answers_share_is_kept_once(tmp_path: Path) -> None:
    model = made("llama", t.AutoModelForCausalLM).eval()
    rows = [Row(row.texts, (1, 1)) for row in ROWS]
    plain = row_logprobs(model, rows, PAD)
    states.write(model, 2, rows, PAD, tmp_path)
    known = states.read([tmp_path])
    assert len(known.parts[0][0]) == sum(row.tokens for row in rows)
    with states.read_by(model, 2, known, PAD):
        torch.testing.assert_close(row_logprobs(model, rows, PAD), plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_of_a_frozen_backbone_no_layer_is_computed(kind: str, tmp_path: Path) -> None:
    model = made(kind)
    model.base_model.requires_grad_(False)
    plain, wanted = gradients(model, ROWS)
    states.write(model, 3, ROWS, PAD, tmp_path)
    with states.read_by(model, 3, states.read([tmp_path]), PAD):
        for layer in layers_of(model):
            next(layer.parameters()).data.fill_(float("nan"))
        heads, found = gradients(model, ROWS)
    torch.testing.assert_close(heads, plain, rtol=0, atol=1e-5)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_states_of_another_model_are_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = made("llama")
    states.write(model, 2, ROWS, PAD, tmp_path)
    nn.init.normal_(next(layers_of(model)[0].parameters()))
    freeze(model, 2)
    plain, _ = gradients(model, ROWS)
    with states.read_by(model, 2, states.read([tmp_path]), PAD):
        heads, _ = gradients(model, ROWS)
    torch.testing.assert_close(heads, plain, rtol=0, atol=0)
    assert "computed every time" in caplog.text


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_packed_rows_find_their_columns(kind: str, tmp_path: Path) -> None:
    model = made(kind)
    states.write(model, 2, ROWS, PAD, tmp_path)
    known = states.read([tmp_path])
    shared, packed = (known.columns(collate(ROWS, PAD, layout)) for layout in ("shared", "packed"))
    assert shared is not None
    assert packed is not None
    torch.testing.assert_close(
        packed[0], torch.cat([each[: row.tokens] for each, row in zip(shared, ROWS, strict=True)])
    )


def test_pieces_are_the_texts_of_a_batch() -> None:
    for layout in ("shared", "padded", "packed"):
        found = {piece.ids for piece in pieces(collate(ROWS, PAD, layout))}
        assert found == {torch.tensor(text, dtype=torch.int32).numpy().tobytes() for row in ROWS for text in row.texts}
