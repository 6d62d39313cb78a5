"""The shape of a model, from its configuration alone: what a token costs, and what its weights weigh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from w2s_pref.models.info import ModelFacts

#: Families whose MLP has a gate, so three matrices instead of two.
GATED = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "olmo2", "smollm3"})

#: Bytes of a number by dtype.
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

_QWEN = {"model_type": "qwen2", "vocab_size": 151936, "num_key_value_heads": 2, "tie_word_embeddings": True}
_OPT = {"model_type": "opt", "vocab_size": 50272, "max_position_embeddings": 2048, "tie_word_embeddings": True}
_GPT2 = {"model_type": "gpt2", "vocab_size": 50257, "max_position_embeddings": 1024, "tie_word_embeddings": True}

#: Published configurations of the hub models that the shipped recipes name, so that a plan without the hub can count.
#: Per model: hidden size, layers, heads, MLP size; then what differs from its family.
PUBLISHED: dict[str, tuple[dict[str, Any], tuple[int, int, int, int], dict[str, Any]]] = {
    "openai-community/gpt2": (_GPT2, (768, 12, 12, 3072), {}),
    "openai-community/gpt2-medium": (_GPT2, (1024, 24, 16, 4096), {}),
    "openai-community/gpt2-large": (_GPT2, (1280, 36, 20, 5120), {}),
    "openai-community/gpt2-xl": (_GPT2, (1600, 48, 25, 6400), {}),
    "facebook/opt-125m": (_OPT, (768, 12, 12, 3072), {}),
    "facebook/opt-350m": (_OPT, (1024, 24, 16, 4096), {"word_embed_proj_dim": 512}),
    "facebook/opt-1.3b": (_OPT, (2048, 24, 32, 8192), {}),
    "facebook/opt-2.7b": (_OPT, (2560, 32, 32, 10240), {}),
    "facebook/opt-6.7b": (_OPT, (4096, 32, 32, 16384), {}),
    "Qwen/Qwen2.5-0.5B": (_QWEN, (896, 24, 14, 4864), {}),
    "Qwen/Qwen2.5-1.5B": (_QWEN, (1536, 28, 12, 8960), {}),
    "Qwen/Qwen2.5-3B": (_QWEN, (2048, 36, 16, 11008), {}),
    "Qwen/Qwen2.5-7B": (
        _QWEN,
        (3584, 28, 28, 18944),
        {"num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False},
    ),
    "mistralai/Mistral-7B-v0.1": (
        {"model_type": "mistral", "vocab_size": 32000},
        (4096, 32, 32, 14336),
        {"num_key_value_heads": 8, "tie_word_embeddings": False},
    ),
}


@dataclass(frozen=True)
class Shape:
    """Sizes of a transformer.

    Attributes:
        hidden, layers, vocabulary: as its configuration has them.
        backbone: parameters that every token is multiplied with (attention and MLP of all layers).
        parameters: all of them as a language model, embeddings counted once where they are tied.
        positions: longest text, None where the configuration sets no limit.
    """

    hidden: int
    layers: int
    vocabulary: int
    backbone: int
    parameters: int
    positions: int | None

    def forward_flops(self, tokens: float, context: float, logits: float = 0.0, share: float = 1.0) -> float:
        """FLOPs of a forward pass: 2 per parameter and token, attention over ``context``, and the language head.

        Attention is 4 · layers · hidden · context a token, without discount for the causal mask (Chowdhery et al.
        2022, arXiv 2204.02311, appendix B); ``logits`` counts positions that get a distribution over the vocabulary,
        ``share`` is the part of the layers that is computed.
        """
        token = 2.0 * self.backbone + 4.0 * self.layers * self.hidden * context
        return share * tokens * token + 2.0 * logits * self.hidden * self.vocabulary


def shape(facts: ModelFacts) -> Shape | None:
    """The shape of a model; None where it is neither here nor among ``PUBLISHED``."""
    config = facts.config or published(facts.spec.path)
    hidden, layers = _first(config, "hidden_size", "n_embd"), _first(config, "num_hidden_layers", "n_layer")
    if not hidden or not layers:
        return None
    vocabulary = _first(config, "vocab_size")
    positions = _first(config, "max_position_embeddings", "n_positions") or None
    backbone = layers * _layer(config, hidden)
    around = _around(config, hidden, vocabulary, positions)
    return Shape(hidden, layers, vocabulary, backbone, facts.parameters or backbone + around, positions)


def published(path: str) -> dict[str, Any]:
    """The published configuration of a hub model, {} for one that is not listed."""
    if path not in PUBLISHED:
        return {}
    family, (hidden, layers, heads, inner), own = PUBLISHED[path]
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**family, **sizes, "intermediate_size": inner, **own}


def _first(config: dict[str, Any], *names: str) -> int:
    return next((int(config[name]) for name in names if config.get(name)), 0)


def _layer(config: dict[str, Any], hidden: int) -> int:
    """Parameters of one layer: projections of attention and MLP."""
    heads = _first(config, "num_attention_heads", "n_head") or 1
    groups = _first(config, "num_key_value_heads") or heads
    head = _first(config, "head_dim") or hidden // heads
    inner = _first(config, "intermediate_size", "n_inner", "ffn_dim") or 4 * hidden
    attention = 2 * hidden * heads * head + 2 * hidden * groups * head
    return attention + (3 if config.get("model_type") in GATED else 2) * hidden * inner


def _around(config: dict[str, Any], hidden: int, vocabulary: int, positions: int | None) -> int:
    """Embeddings: tokens (twice where the head has its own) and, in the older families, learned positions."""
    width = _first(config, "word_embed_proj_dim") or hidden
    learned = positions if config.get("model_type") in {"gpt2", "opt", "bert", "roberta"} and positions else 0
    heads = 1 if config.get("tie_word_embeddings", True) else 2
    return vocabulary * width * heads + learned * hidden
