"""Which columns see which: dense for SDPA and eager attention, a block mask for FlexAttention.

transformers hands a mask of four dimensions, or a BlockMask, to the attention as it is (``masking_utils.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def visible(segments: Tensor) -> Tensor:
    """(B, W) segments -> (B, W, W), True where the query (row) sees the key (column).

    A key is seen from its own column on, by its own segment and, where it lies in the prefix (segment 0), by all.
    Every column sees itself, padding too, so no softmax is over nothing.
    """
    width = segments.shape[1]
    keys, queries = segments[:, None, :], segments[:, :, None]
    causal = torch.ones(width, width, dtype=torch.bool, device=segments.device).tril()
    return ((keys == 0) | (keys == queries)) & causal


def mask_mod(segments: Tensor) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The rule of ``visible`` in FlexAttention's form: (batch, head, query, key) -> bool."""

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        of_key = segments[batch, key]
        return ((of_key == 0) | (of_key == segments[batch, query])) & (key <= query)

    return sees


def attention_mask(segments: Tensor, implementation: str, dtype: torch.dtype) -> Any:
    """The mask in the form that the model's attention takes.

    Raises:
        ValueError: an attention that takes no mask of ours (flash attention).
    """
    if implementation == "flex_attention":
        from torch.nn.attention.flex_attention import create_block_mask

        height, width = segments.shape
        return create_block_mask(mask_mod(segments), height, None, width, width, device=str(segments.device))
    seen = visible(segments)[:, None]
    if implementation == "sdpa":
        return seen
    if implementation == "eager":
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)
    raise ValueError(f"the attention implementation {implementation!r} takes no mask with branches")
