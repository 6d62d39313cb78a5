"""Two-output classifiers: how their head starts, how they are loaded again, and what they say of items.

The margin of an item is z1 - z0, the log-odds of class 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s_pref.core.errors import W2SError
from w2s_pref.data.tokens import item_ids
from w2s_pref.models.batches import Row
from w2s_pref.models.batches.each import distinct
from w2s_pref.models.batches.wrapped import head as head_of
from w2s_pref.models.batches.wrapped import is_encoder
from w2s_pref.models.load import load_base
from w2s_pref.models.policies import load_policy
from w2s_pref.models.scoring import row_outputs
from w2s_pref.models.spec import Head, ModelSpec

#: Standard deviation of a ``normal`` head: what most checkpoints were initialised with.
HEAD_STD = 0.02
CLASSES = ("0", "1")


def load_classifier(
    spec: ModelSpec, base: Path, seed: int, head: Head = "zeros"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A classifier before training, and its tokenizer.

    A head that the checkpoint already holds is left as it is. Where the architecture puts a layer in front of its last
    one, that layer is drawn from ``seed`` whatever ``head`` says.

    Raises:
        W2SError: it cannot be loaded, or ``unembedding`` for a model that has no such rows.
    """
    model, tokenizer = load_base(spec, base, seed, outputs=len(CLASSES))
    last = _last_layer(model)
    if not any(parameter is last.weight for name, parameter in model.named_parameters() if name in model.new_weights):
        return model, tokenizer
    with torch.no_grad():
        last.weight.copy_(_start(spec, base, seed, head, model, tokenizer, last.weight))
        if last.bias is not None:
            last.bias.zero_()
    return model, tokenizer


def _last_layer(model: PreTrainedModel) -> nn.Linear:
    """The linear layer that gives the two outputs."""
    found = head_of(model)
    layers = [] if found is None else [each for each in found.modules() if isinstance(each, nn.Linear)]
    if not layers or layers[-1].out_features != len(CLASSES):
        raise W2SError(
            f"model type {model.config.model_type!r}: its classification head is not one this toolkit knows ('score' "
            "or 'classifier', ending in a linear layer); use another architecture, or a probe"
        )
    return layers[-1]


def _start(
    spec: ModelSpec,
    base: Path,
    seed: int,
    head: Head,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    weight: Tensor,
) -> Tensor:
    """First weights of the head, (2, d)."""
    if head == "zeros":
        return torch.zeros_like(weight)
    if head == "normal":
        drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        return (HEAD_STD * drawn).to(weight.dtype)
    if is_encoder(model.config):
        raise W2SError(
            f"model {spec.path!r}: head unembedding takes rows of a causal model's language head, and this is an "
            "encoder; use zeros or normal"
        )
    ids = class_tokens(tokenizer, spec.path)
    whole = spec.model_copy(update={"freeze_backbone": False})
    rows: Tensor = load_policy(whole, base, seed)[0].get_output_embeddings().weight[ids]
    if rows.shape != weight.shape:
        raise W2SError(
            f"model {spec.path!r}: its language head reads {rows.shape[1]} numbers and its classification head "
            f"{weight.shape[1]}; use head zeros or normal"
        )
    return rows.detach()


def class_tokens(tokenizer: PreTrainedTokenizerBase, name: str) -> list[int]:
    """Ids of the tokens "0" and "1", each one token: bare or, where the vocabulary has none, behind a space.

    Raises:
        W2SError: one of them is not a single token.
    """
    for form in ("{}", " {}"):
        pieces = [tokenizer.encode(form.format(word), add_special_tokens=False) for word in CLASSES]
        if all(len(ids) == 1 and ids[0] != tokenizer.unk_token_id for ids in pieces):
            return [ids[0] for ids in pieces]
    found = [tokenizer.convert_tokens_to_ids(word) for word in CLASSES]  # "0" is two pieces where texts get a "▁"
    if all(number is not None and number != tokenizer.unk_token_id for number in found):
        return found
    raise W2SError(
        f"model {name!r}: head unembedding needs the tokens '0' and '1', and its tokenizer has no single token for "
        "them; use zeros or normal"
    )


def score_items(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    items: pd.DataFrame,
    max_length: int | None = 512,
    shard: tuple[int, int] = (0, 1),
) -> pd.DataFrame:
    """Raw scores of every item, ``id, score_a = z1, score_b = z0``, in the order of ``items``; none is dropped.

    Args:
        items: with ``id`` and ``prompt``.
        shard: (rank, world); items of other ranks stay NaN.
    """
    texts, places = distinct(tuple(ids) for ids in item_ids(items["prompt"].tolist(), tokenizer, max_length))
    outputs = row_outputs(model, [Row((ids,)) for ids in texts], tokenizer.pad_token_id, shard=shard)[places]
    return pd.DataFrame({"id": items["id"].to_numpy(), "score_a": outputs[:, 1], "score_b": outputs[:, 0]})


def margins(model: nn.Module, ids: list[tuple[int, ...]], pad_id: int, shard: tuple[int, int] = (0, 1)) -> np.ndarray:
    """z1 - z0 of token ids, (n,), float64."""
    outputs = row_outputs(model, [Row((each,)) for each in ids], pad_id, shard=shard)
    difference: np.ndarray = outputs[:, 1] - outputs[:, 0]
    return difference
