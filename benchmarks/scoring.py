"""Scoring pairs: sorted by length under a token budget, against padded batches in data order.

    python benchmarks/scoring.py [rows]

Same model, same texts, interleaved rounds; prints pairs per second and the largest difference of scores.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from w2s_pref.scoring import score_ids

PAD = 0


@torch.no_grad()
def in_data_order(model: LlamaForSequenceClassification, texts: Sequence[list[int]], batch: int = 32) -> np.ndarray:
    """The usual loop: batches in the order of the data, padded to their longest text."""
    rewards = []
    for start in range(0, len(texts), batch):
        part = texts[start : start + batch]
        width = max(map(len, part))
        ids = torch.tensor([text + [PAD] * (width - len(text)) for text in part])
        mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in part])
        rewards.append(model(input_ids=ids, attention_mask=mask).logits.squeeze(-1))
    return torch.cat(rewards).double().numpy()


def main() -> None:
    """Lengths as in HH-RLHF single-turn pairs: median 110 tokens, 90th percentile 250."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    draw = random.Random(0)
    lengths = [min(512, max(8, round(draw.lognormvariate(4.7, 0.65)))) for _ in range(2 * rows)]
    texts = [[draw.randrange(1, 1000) for _ in range(length)] for length in lengths]
    torch.manual_seed(0)
    config = LlamaConfig(hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4)
    config.update({"vocab_size": 1000, "num_labels": 1, "pad_token_id": PAD})
    model = LlamaForSequenceClassification(config).eval()
    times: dict[str, list[float]] = {"data order": [], "sorted, token budget": []}
    for _ in range(3):
        started = time.perf_counter()
        plain = in_data_order(model, texts)
        times["data order"].append(time.perf_counter() - started)
        started = time.perf_counter()
        ours = score_ids(model, texts, PAD)
        times["sorted, token budget"].append(time.perf_counter() - started)
    base = min(times["data order"])
    print("| scoring | pairs/s | ratio |\n|---|---|---|")
    for name, measured in times.items():
        print(f"| {name} | {rows / min(measured):.0f} | {base / min(measured):.2f} |")
    print(f"\nlargest difference of two scores: {np.abs(plain - ours).max():.1e}")


if __name__ == "__main__":
    main()
