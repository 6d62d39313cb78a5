"""Micro-batches by tokens: rows of similar length together, as few padded tokens as can be."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from w2s_pref.core.gpus import EMPTY_ON_GPU, gpu_share
from w2s_pref.models.batches.wrapped import inner

#: Padded tokens of a batch on a CPU: enough for full speed, little enough for its caches.
CPU_TOKENS = 4096

#: Most logits of one forward pass on a CPU or without gradients (1 GiB in float32): many words make smaller batches.
MOST_LOGITS = 2**28

#: Most padded tokens of a batch on a GPU: a pass of so many is hundreds of milliseconds, its launches tens.
GPU_TOKENS = 2**15

#: Part of a GPU's memory, free and not spoken for, that the activations of one batch may take. ``token_bytes`` is a
#: tenth short for Qwen2.5, whose MLPs are wide; a fifth is left for fragments and the mask.
MEMORY_USED = 0.7


def split(lengths: Sequence[int], budget: int, overhead: int = 64, padded: bool = True) -> list[list[int]]:
    """Partition rows into batches of at most ``budget`` padded tokens (a longer row is a batch of its own).

    Rows are sorted by length and cut so that the padded tokens plus ``overhead`` a batch are fewest: dynamic
    programming over the last cut, exact for the sorted order.

    Args:
        lengths: tokens of each row.
        budget: most padded tokens of a batch: its longest row times its rows.
        overhead: padded tokens that one more batch is worth (``overhead(model)``).
        padded: False for a layout without padding, whose batches are only filled up to the budget.

    Returns:
        Row numbers of each batch, longest first.
    """
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    size = np.array([lengths[row] for row in order], dtype=np.int64)
    if not order:
        return []
    if not padded:
        return _filled(order[::-1], lengths, budget)
    cuts = _cuts(size, budget, overhead)
    return [order[start:end] for start, end in reversed(list(pairwise(cuts)))]


def _filled(rows: list[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Rows in their order, in batches of at most ``budget`` tokens."""
    groups: list[list[int]] = []
    room = 0
    for row in rows:
        if not groups or lengths[row] > room:
            groups.append([])
            room = budget
        groups[-1].append(row)
        room -= lengths[row]
    return groups


def _cuts(size: np.ndarray, budget: int, overhead: int) -> list[int]:
    """Where the cheapest batches of the sorted sizes begin, and the end: best[end] is the cost of the rows before."""
    best = np.zeros(len(size) + 1)
    came = np.zeros(len(size) + 1, dtype=np.int64)
    for end in range(1, len(size) + 1):
        longest = max(1, int(size[end - 1]))
        first = max(0, end - max(1, budget // longest))
        costs = best[first:end] + size[end - 1] * np.arange(end - first, 0, -1)
        came[end] = first + int(costs.argmin())
        best[end] = costs.min() + overhead
    cuts = [len(size)]
    while cuts[-1]:
        cuts.append(int(came[cuts[-1]]))
    return cuts[::-1]


def overhead(model: nn.Module) -> int:
    """Padded tokens that cost as much as the fixed part of one more forward and backward pass.

    Small models are better off with fewer batches, large ones with less padding. On a CPU measured for Llamas of
    hidden size h from 28 to 192: between 7,000 and 15,000 / h, by layers of 1 to 2 ms. On a GPU, 1 ms of launches a
    layer against ``72 h**2`` operations a token at 400 TFLOP/s.
    """
    hidden = int(inner(model).config.get_text_config().hidden_size)
    return 9000 // hidden if next(model.parameters()).device.type == "cpu" else int(5.5e9 / hidden**2)


def tokens_at_once(model: nn.Module, optimizer: Optimizer | None = None, packed: bool = False) -> int:
    """Padded tokens of a training batch that the model's device takes well: by its memory on a GPU.

    There the logits are part of what a token takes (``token_bytes``); a bound of their own would make the batches of a
    model of half a billion parameters and 152 thousand words too small to keep a GPU busy. What the first update adds
    (``to_come``) stays free for it. Workers that share a GPU have a fixed part of it each, whatever the others hold: at
    their first step all of it is free. In whole thousands, so that a resumed training, in which not every byte lies
    where it lay, splits its batches as before.
    """
    device = next(model.parameters()).device
    if device.type != "cuda":
        return min(CPU_TOKENS, most_tokens(model))
    free, everything = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_allocated(device)
    free += torch.cuda.memory_reserved(device) - held
    if (share := gpu_share()) > 1:
        free = everything // share - EMPTY_ON_GPU - held
    tokens = int(MEMORY_USED * (free - to_come(model, optimizer)) / token_bytes(model, packed))
    return max(1, min(GPU_TOKENS, tokens // 1024 * 1024 or tokens))


def to_come(model: nn.Module, optimizer: Optimizer | None = None) -> int:
    """Bytes that training adds beside activations: gradients, Adam's two moments, and under autocast 16-bit weights.

    Less what is there already: moments that a resumed training has loaded.
    """
    weights = [_own(weight) for weight in model.parameters()]
    trained = sum(weight.nbytes for weight in weights if weight.requires_grad)
    halves = sum(weight.nbytes // 2 for weight in weights if weight.dtype == torch.float32)
    states = (state.values() for state in (optimizer.state.values() if optimizer else ()))
    there = sum(_own(each).nbytes for values in states for each in values if isinstance(each, Tensor))
    return max(0, 3 * trained + halves - there)


def _own(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor, which FSDP2 shards."""
    local = getattr(tensor, "to_local", None)
    own: Tensor = tensor if local is None else local()
    return own


def token_bytes(model: nn.Module, packed: bool = False) -> int:
    """Memory that one token of a batch takes until its backward pass, in bytes.

    ``34 * hidden`` bytes a layer in 16 bits (Korthikanti et al. 2022, equation 1, without the attention matrices, which
    fused kernels do not keep), and with a language-model head its logits, their softmax and its gradient in 32 bits.
    """
    own = inner(model)
    config = own.config.get_text_config()
    a_layer = 22 if packed else 17  # queries, keys and values stand in padded groups, too; 3.4 MB measured at 1.5 B
    layers = int(a_layer * own.dtype.itemsize * config.hidden_size * config.num_hidden_layers)
    return layers if own.get_output_embeddings() is None else layers + 12 * int(config.vocab_size)


def most_tokens(model: nn.Module) -> int:
    """Tokens whose logits are ``MOST_LOGITS``; no bound for a model without a language-model head."""
    own = inner(model)
    if own.get_output_embeddings() is None:
        return sys.maxsize
    return max(1, MOST_LOGITS // int(own.config.get_text_config().vocab_size))
