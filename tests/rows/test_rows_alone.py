"""Padded texts read as they do alone, or the architecture is refused before a text of the user's is read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as t
from rows_helpers import CONFIGS, EOS, PAD, SHAPE, make, pairs

from w2s_pref.core.errors import W2SError
from w2s_pref.models.batches import layout_of
from w2s_pref.models.batches.alone import check_padded
from w2s_pref.models.scoring import score_ids

WIDE: dict[str, Any] = {**SHAPE, "intermediate_size": 64, "pad_token_id": PAD, "max_position_embeddings": 64}
ENCODERS: dict[str, Any] = {
    "BERT": lambda: t.BertConfig(**WIDE),
    "RoBERTa": lambda: t.RobertaConfig(**{**WIDE, "max_position_embeddings": 64 + PAD + 1}),
    "DeBERTa": lambda: t.DebertaV2Config(**WIDE, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "Funnel": lambda: t.FunnelConfig(
        d_model=32, n_head=4, d_head=8, d_inner=64, vocab_size=104, pad_token_id=PAD, block_sizes=[1, 1]
    ),
}
READS_PADDING: dict[str, Any] = {
    "xlnet": lambda: t.XLNetConfig(d_model=32, n_layer=2, n_head=4, d_inner=64, vocab_size=104, pad_token_id=PAD),
    "fnet": lambda: t.FNetConfig(**{key: value for key, value in WIDE.items() if key != "num_attention_heads"}),
}


@pytest.mark.parametrize("family", READS_PADDING)
def test_an_architecture_whose_score_depends_on_its_batch_is_refused(family: str) -> None:
    """Scoring and training ask the same question first."""
    sentence = rf"'{family}' reads a text otherwise beside longer texts than alone \(by \d+%"
    model = make("", "reward", config=READS_PADDING[family]())
    with pytest.raises(W2SError, match=sentence):
        score_ids(model, [[1, 2, 3], [4, 5, 6, 7, EOS]], PAD)
    with pytest.raises(W2SError, match=sentence):
        layout_of(model, PAD)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", [*CONFIGS, *ENCODERS])
def test_others_read_padded_texts_as_they_do_alone(family: str, dtype: torch.dtype) -> None:
    config = {**CONFIGS, **ENCODERS}[family]()
    for head in ("reward", "policy") if family in CONFIGS else ("reward",):
        check_padded(make(family, head, config=config).to(dtype), pairs(4), PAD)


def test_a_head_that_is_all_zeros_hides_nothing() -> None:
    model = make("", "reward", config=READS_PADDING["xlnet"]())
    with torch.no_grad():
        model.logits_proj.weight.zero_()
        model.logits_proj.bias.zero_()
    with pytest.raises(W2SError, match="reads a text otherwise"):
        check_padded(model, pairs(4), PAD)


def test_a_score_read_at_another_token_is_seen() -> None:
    """A model whose pad is not the tokenizer's takes the last column for the last token."""
    model = make("Llama", "reward")
    model.config.pad_token_id = 7
    with pytest.raises(W2SError, match="takes another token's output for that of the last one"):
        check_padded(model, pairs(4), PAD)


def test_short_tables_of_positions_are_kept_to() -> None:
    config = t.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=12, vocab_size=104, pad_token_id=PAD)
    assert layout_of(make("", "reward", config=config), PAD) == "padded"
