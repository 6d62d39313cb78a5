"""Activations of a frozen model: one vector a text, each distinct text computed once, sorted by length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from w2s_pref.core.errors import W2SError
from w2s_pref.data.tokens import item_ids
from w2s_pref.models.batches import Row, RowBatch, budget, collate
from w2s_pref.models.batches.each import TOKEN_BUDGET, distinct
from w2s_pref.models.batches.read import count_forward
from w2s_pref.models.batches.wrapped import inner, is_encoder
from w2s_pref.models.load import device, fit_vocabulary, load_spec
from w2s_pref.models.spec import ModelSpec

#: ``last``: the last real token; ``mean``: over all real tokens; ``first``: the first token (cls).
Pooling = Literal["last", "mean", "first"]


def load_backbone(spec: ModelSpec, base: Path, seed: int = 0) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model without a head, frozen, and its tokenizer; random weights (``from_config``) are drawn from ``seed``.

    Raises:
        W2SError: it cannot be loaded, or weights that the activations depend on are missing.
    """
    model, tokenizer, missing = load_spec(spec.model_copy(update={"quantization": None}), base, seed, AutoModel)
    lost = sorted(name for name in missing if "pooler" not in name and spec.from_config is None)
    if lost:
        raise W2SError(
            f"model {model.config.name_or_path!r} has no weights for {', '.join(lost[:3])}: its activations would be "
            "noise"
        )
    fit_vocabulary(model, tokenizer)
    return model.requires_grad_(False).eval().to(device()), tokenizer


def default_pooling(model: nn.Module) -> Pooling:
    """``mean`` for encoders (models trained on masked words), ``last`` for decoders, whose last token saw all."""
    return "mean" if is_encoder(inner(model).config) else "last"


@torch.no_grad()
def activations(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    pooling: Pooling | None = None,
    max_length: int | None = 512,
    shard: tuple[int, int] = (0, 1),
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """The last hidden states of every text, pooled, (n, d), float32; read without the model's head, if it has one.

    Texts over ``max_length`` are cut from the left. A vector does not depend on the batch its text is in.

    Args:
        pooling: by default what suits the kind of model (``default_pooling``).
        shard: (rank, world); texts of other ranks stay NaN.
        progress: called with (texts this process has done, distinct texts).
    """
    pooling = pooling or default_pooling(model)
    model.eval()
    unique, places = distinct(tuple(ids) for ids in item_ids(texts, tokenizer, max_length))
    found = np.full((len(unique), _width(inner(model))), np.nan, dtype=np.float32)
    parts = budget.split([len(ids) for ids in unique], TOKEN_BUDGET, overhead=budget.overhead(model))
    pad, done = tokenizer.pad_token_id, 0
    for rows in parts[shard[0] :: shard[1]]:
        batch = collate([Row((unique[row],)) for row in rows], pad, "padded").to(next(model.parameters()).device)
        found[rows] = _pooled(model, batch, pooling).cpu().numpy()
        done += len(rows)
        if progress is not None:
            progress(done, len(unique))
    return found[places]


def _width(model: PreTrainedModel) -> int:
    """Numbers of a last hidden state: some (OPT-350M) project it to the width of their embeddings."""
    config = model.config.get_text_config()
    projected = getattr(config, "word_embed_proj_dim", None)
    return int(config.hidden_size if projected is None else projected)


def _pooled(model: nn.Module, batch: RowBatch, pooling: Pooling) -> Tensor:
    """(B, d), float32."""
    own = inner(model)
    mask = (batch.segments == 0).long()
    count_forward(batch.input_ids.numel(), batch.real)
    options = {"use_cache": False} if hasattr(own.config, "use_cache") else {}
    hidden: Tensor = own.base_model(input_ids=batch.input_ids, attention_mask=mask, **options).last_hidden_state.float()
    if pooling == "mean":
        return (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return hidden[:, 0] if pooling == "first" else hidden.flatten(0, 1)[batch.last[0]]
