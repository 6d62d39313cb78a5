"""Small models of both kinds, and items with a word that decides."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
from conftest import WORDS


def save_encoder(folder: Path, heads: int = 0) -> Path:
    """A tiny BERT for masked words; with ``heads`` a classifier of that many outputs."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertTokenizer

    torch.manual_seed(5)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(tokens), max_position_embeddings=64, num_labels=heads or 2, **shape)
    (BertForSequenceClassification if heads else BertForMaskedLM)(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(tokens))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def make_items(n: int, seed: int = 0) -> pd.DataFrame:
    """Items whose class is whether they hold "yes" or "no"."""
    draw = random.Random(seed)
    rows = []
    for number in range(n):
        truth = number % 2
        words = draw.choices(WORDS[:90], k=draw.randint(2, 9))
        words.insert(draw.randrange(len(words) + 1), "yes" if truth else "no")
        prompt = " ".join(words)
        rows.append({"id": f"{seed}-{number}", "group": f"{seed}-{number}", "form": "item", "prompt": prompt,
                     "a": "yes", "b": "no", "truth": truth, "objective": "word"})  # fmt: skip
    return pd.DataFrame(rows)
