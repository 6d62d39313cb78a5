"""Prompting of causal models: what they say of an item after labelled examples (few-shot), or after none (zero-shot).

Nothing is trained. The answer is the log-probability of " yes" against that of " no" behind the prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import nn

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.data.tokens import tokenize
from w2s_pref.models.batches import Row
from w2s_pref.models.batches.each import distinct
from w2s_pref.models.batches.wrapped import inner, is_encoder
from w2s_pref.models.scoring import row_logprobs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: What stands behind an item; the answer follows, and examples stand before it, an empty line between them.
ASKED = "\nAnswer:"
#: What classes 0 and 1 are called.
WORDS = (" no", " yes")


def few_shot(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    items: pd.DataFrame,
    examples: pd.DataFrame | None = None,
    max_length: int | None = 512,
    words: tuple[str, str] = WORDS,
    shard: tuple[int, int] = (0, 1),
) -> pd.DataFrame:
    """Raw scores of every item, ``id, score_a = log P(yes), score_b = log P(no)`` in nats, in the order of ``items``.

    Prompts over ``max_length`` lose tokens from the left, so the first examples first.

    Args:
        model: a causal language model.
        items: with ``id`` and ``prompt``.
        examples: ``prompt`` and ``label`` (0 or 1), in the order they are shown (``pick_examples``); None: zero-shot.
        words: the answers of class 0 and class 1, as they stand behind an item.
        shard: (rank, world); items of other ranks stay NaN.

    Raises:
        W2SError: an encoder, or answers that the tokenizer cannot tell apart.
    """
    if is_encoder(inner(model).config):
        raise W2SError("prompting needs a causal language model, and this is an encoder; use a probe or fine-tuning")
    shown = _shown(examples, words)
    prompts, places = distinct(f"{shown}{text}{ASKED}" for text in items["prompt"])
    rows = _rows(tokenizer, prompts, words, max_length)
    scores = row_logprobs(model, rows, tokenizer.pad_token_id, shard=shard).reshape(-1, 2)[places]
    return pd.DataFrame({"id": items["id"].to_numpy(), "score_a": scores[:, 0], "score_b": scores[:, 1]})


def _shown(examples: pd.DataFrame | None, words: tuple[str, str]) -> str:
    """The labelled examples as text."""
    if examples is None:
        return ""
    pairs = zip(examples["prompt"], examples["label"], strict=True)
    return "".join(f"{text}{ASKED}{words[int(label)]}\n\n" for text, label in pairs)


def _rows(
    tokenizer: PreTrainedTokenizerBase, prompts: list[str], words: tuple[str, str], max_length: int | None
) -> list[Row]:
    """Both answers behind each prompt, without the eos that a finished text has."""
    table = {"id": [str(number) for number in range(len(prompts))], "form": "text", "prompt": prompts}
    tokens = tokenize(pd.DataFrame({**table, "a": words[1], "b": words[0]}), tokenizer, max_length, starts=True)
    rows = []
    for a, b, start_a, start_b in zip(tokens.a_ids, tokens.b_ids, tokens.a_starts, tokens.b_starts, strict=True):
        yes, no = (ids[:-1] if ids[-1] == tokenizer.eos_token_id else ids for ids in (a, b))
        if list(yes) == list(no) or start_a >= len(yes) or start_b >= len(no):
            raise W2SError(
                f"prompting: the tokenizer {tokenizer.name_or_path!r} writes {words[1]!r} and {words[0]!r} the same; "
                "choose other words"
            )
        rows.append(Row((yes, no), (start_a, start_b)))
    return rows


def pick_examples(items: pd.DataFrame, labels: pd.DataFrame, shots: int, seed: int = 0) -> pd.DataFrame:
    """Examples for a prompt, ``id, prompt, label``: half of each class by their label, in an order of the seed.

    Drawn by a hash of id and seed, so that the rows' order does not matter and, class by class, more shots contain
    fewer. Where one class has too few, the other fills up.

    Args:
        items: with ``id`` and ``prompt``.
        labels: ``id, p, keep``, weak or true; hardened at ½ (½ itself is 1). Those that are not kept are not shown.

    Raises:
        W2SError: fewer labelled items than shots.
    """
    labelled = labels[labels["keep"].to_numpy(dtype=bool) & labels["id"].isin(items["id"]).to_numpy()]
    if len(labelled) < shots:
        raise W2SError(f"prompting: {shots} shots, but only {len(labelled)} labelled items; show fewer")
    draw = np.array([digest("shot", str(seed), identity) for identity in labelled["id"]])
    hard = (labelled["p"].to_numpy() >= 0.5).astype(int)
    order = np.argsort(draw)
    ones = order[hard[order] == 1]
    zeros = order[hard[order] == 0]
    half = min(shots // 2, len(zeros))
    taken = min(shots - half, len(ones))
    chosen = np.sort(np.argsort(np.argsort(draw))[np.concatenate([ones[:taken], zeros[: shots - taken]])])
    rows = order[chosen]
    text = items.set_index("id")["prompt"].loc[labelled["id"].to_numpy()[rows]]
    return pd.DataFrame({"id": text.index.to_numpy(), "prompt": text.to_numpy(), "label": hard[rows]})
