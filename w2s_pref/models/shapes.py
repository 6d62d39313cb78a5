"""The shape of a model, from its configuration alone: what a token costs, and what its weights weigh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from w2s_pref.models.info import ModelFacts

#: Families whose MLP has two matrices. All others have a gate, so three: nearly every family since Llama.
PLAIN = frozenset(
    {"gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "codegen", "opt", "bloom", "falcon", "mpt", "phi", "xglm"}
    | {"biogpt", "starcoder2", "persimmon", "nemotron", "arcee", "apertus", "bert", "roberta", "electra", "distilbert"}
)

#: Families with learned positions.
LEARNED = frozenset({"gpt2", "gpt_bigcode", "gpt_neo", "opt", "biogpt", "bert", "roberta", "electra", "distilbert"})

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
        backbone: parameters that every token is multiplied with (attention and MLP of all layers), of a mixture of
            experts those of as many experts as a token takes.
        stored: parameters of all layers, those of experts that a token passes by included.
        parameters: all of them as a language model, embeddings counted once where they are tied.
        positions: longest text, None where the configuration sets no limit.
    """

    hidden: int
    layers: int
    vocabulary: int
    backbone: int
    stored: int
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
    hidden = _first(config, "hidden_size", "n_embd", "d_model", "dim")
    layers = _first(config, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    if not hidden or not layers:
        return None
    vocabulary = _first(config, "vocab_size")
    positions = _first(config, "max_position_embeddings", "n_positions", "max_seq_len") or None
    attention, (active, whole) = layers * _attention(config, hidden), _mlps(config, hidden, layers)
    around = _around(config, hidden, vocabulary, positions)
    total = facts.parameters or attention + whole + around
    return Shape(hidden, layers, vocabulary, attention + active, attention + whole, total, positions)


def backbone_parameters(facts: ModelFacts) -> int:
    """Parameters that cost compute per token: all but the token embedding table. 0 where unknown.

    Of a mixture of experts only those that a token is sent to count. For random-weight models the usual
    12 * layers * hidden² stands in.
    """
    found, config = shape(facts), facts.config
    if found is not None and found.stored > found.backbone:
        return found.backbone
    hidden = int(config.get("hidden_size") or config.get("n_embd") or 0)
    layers = int(config.get("num_hidden_layers") or config.get("n_layer") or 0)
    if facts.parameters is None:
        return 12 * layers * hidden * hidden
    return max(facts.parameters - int(config.get("vocab_size", 0)) * hidden, 0)


def published(path: str) -> dict[str, Any]:
    """The published configuration of a hub model, {} for one that is not listed."""
    if path not in PUBLISHED:
        return {}
    family, (hidden, layers, heads, inner), own = PUBLISHED[path]
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**family, **sizes, "intermediate_size": inner, **own}


def _first(config: dict[str, Any], *names: str) -> int:
    return next((int(config[name]) for name in names if config.get(name)), 0)


def _attention(config: dict[str, Any], hidden: int) -> int:
    """Parameters of one layer's projections."""
    heads = _first(config, "num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads") or 1
    if config.get("kv_lora_rank"):
        return _latent_attention(config, hidden, heads)
    single = config.get("multi_query") and not config.get("new_decoder_architecture")
    groups = 1 if single else _first(config, "num_key_value_heads", "num_kv_heads") or heads
    head = _first(config, "head_dim") or hidden // heads
    return 2 * hidden * heads * head + 2 * hidden * groups * head


def _latent_attention(config: dict[str, Any], hidden: int, heads: int) -> int:
    """Queries, keys and values through a narrow state (DeepSeek-AI 2024, arXiv 2405.04434)."""
    values, turned, narrow = (_first(config, name) for name in ("v_head_dim", "qk_rope_head_dim", "kv_lora_rank"))
    keys = _first(config, "qk_nope_head_dim")
    asked, wide = _first(config, "q_lora_rank"), heads * (keys + turned)
    queries = asked * (hidden + wide) if asked else hidden * wide
    return queries + hidden * (narrow + turned) + narrow * heads * (keys + values) + heads * values * hidden


def _mlps(config: dict[str, Any], hidden: int, layers: int) -> tuple[int, int]:
    """Parameters of the MLPs of all layers: those that a token is multiplied with, and all of them."""
    inner = _first(config, "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "hidden_dim") or 4 * hidden
    wide = (2 if config.get("model_type") in PLAIN else 3) * hidden
    experts = _first(config, "num_local_experts", "num_experts", "n_routed_experts")
    sparse = sum(_sparse(config, layer) for layer in range(layers)) if experts else 0
    each = _first(config, "moe_intermediate_size") or inner
    shared = _first(config, "shared_expert_intermediate_size", "shared_intermediate_size")
    always = hidden * experts + wide * (shared or each * _first(config, "n_shared_experts"))  # the router comes first
    always += hidden if config.get("shared_expert_intermediate_size") else 0  # the shared expert's own gate
    dense, chosen = (
        (layers - sparse) * wide * inner,
        _first(config, "num_experts_per_tok", "num_experts_per_token") or 1,
    )
    return dense + sparse * (always + chosen * wide * each), dense + sparse * (always + experts * wide * each)


def _sparse(config: dict[str, Any], layer: int) -> bool:
    """Whether a layer of a mixture of experts has them: some families begin, or alternate, with layers that do not."""
    if layer in (config.get("mlp_only_layers") or []) or layer < _first(config, "first_k_dense_replace"):
        return False
    steps, apart = _first(config, "decoder_sparse_step") or 1, _first(config, "moe_layer_freq") or 1
    return (layer + 1) % steps == 0 and layer % apart == 0


def _around(config: dict[str, Any], hidden: int, vocabulary: int, positions: int | None) -> int:
    """Embeddings: tokens (twice where the head has its own) and, in the older families, learned positions."""
    width = _first(config, "word_embed_proj_dim") or hidden
    learned = positions if config.get("model_type") in LEARNED and positions else 0
    heads = 1 if config.get("tie_word_embeddings", True) else 2
    between = 2 * hidden * width if width != hidden else 0
    return vocabulary * width * heads + learned * hidden + between
