"""Small models of every family with seeded random weights, and pairs of token ids for the tests of rows."""

from __future__ import annotations

import random
from typing import Any

import torch
import transformers as t
from torch import Tensor
from torch.nn.functional import softplus

from w2s_pref.models.batches import Row, RowBatch, read_heads, read_logprobs

PAD, EOS = 100, 101
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 104}
SPECIAL = {"bos_token_id": None, "eos_token_id": EOS, "pad_token_id": PAD, "max_position_embeddings": 64}
GROUPED = {**SHAPE, **SPECIAL, "intermediate_size": 64, "num_key_value_heads": 2}

CONFIGS: dict[str, Any] = {
    "Llama": lambda: t.LlamaConfig(**GROUPED),
    "GPT2": lambda: t.GPT2Config(
        n_embd=32, n_layer=2, n_head=4, n_positions=64, vocab_size=104, eos_token_id=EOS, pad_token_id=PAD
    ),
    "OPT": lambda: t.OPTConfig(**SHAPE, **SPECIAL, ffn_dim=64, word_embed_proj_dim=32),
    "Qwen2": lambda: t.Qwen2Config(**GROUPED),
    "Qwen3": lambda: t.Qwen3Config(**GROUPED, head_dim=8),
    "GPTNeoX": lambda: t.GPTNeoXConfig(**SHAPE, **SPECIAL, intermediate_size=64),
    "Mistral": lambda: t.MistralConfig(**GROUPED, sliding_window=None),
}


def make(family: str, head: str, seed: int = 0, config: Any = None) -> Any:
    """``head``: "reward" (one output) or "policy". No dropout, weights large enough for every token to matter."""
    config = CONFIGS[family]() if config is None else config
    config.num_labels = 1
    for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop", "dropout", "attention_dropout", "hidden_dropout"):
        if hasattr(config, name):
            setattr(config, name, 0.0)
    torch.manual_seed(seed)
    of = t.AutoModelForSequenceClassification if head == "reward" else t.AutoModelForCausalLM
    model = of.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    return model


def pairs(n: int, seed: int = 0) -> list[Row]:
    """Pairs of unlike lengths with responses; one starts with equal response tokens, one has equal texts."""
    draw = random.Random(seed)

    def words(low: int, high: int) -> list[int]:
        return [draw.randrange(PAD) for _ in range(draw.randint(low, high))]

    rows = []
    for _ in range(n - 2):
        prompt = words(1, 14)
        texts = ([*prompt, *words(0, 9), EOS], [*prompt, *words(0, 9), EOS])
        rows.append(Row(texts, (len(prompt), len(prompt))))
    alike = [*words(3, 3), 7, 8, 9]
    rows.append(Row(([*alike, 11, EOS], [*alike, 12, 13, EOS]), (3, 3)))
    return [*rows, Row(([1, 2, 3], [1, 2, 3]), (1, 2))]


def loss_of(model: Any, batch: RowBatch, head: str) -> Tensor:
    """Of pairs, by what the head reads: rewards, or summed log-probabilities."""
    values = read_heads(model, batch)[..., 0] if head == "reward" else read_logprobs(model, batch)[0]
    return softplus(values[1] - values[0]).mean()


def gradients(model: Any, loss: Tensor) -> Tensor:
    """Of all weights, one behind the other."""
    model.zero_grad()
    loss.backward()
    return torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])
