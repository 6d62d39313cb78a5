"""The longest text whose pair may share a row: models that see only so many columns back."""

from __future__ import annotations

from typing import Any


def longest_shared(model: Any) -> int | None:
    """Tokens of the longest text for the shared layout, None for any.

    A mask of ours replaces the model's own in all its layers, so a text must fit into a sliding window or a chunk.
    Models that cut by column number themselves (GPT-Neo's local layers, causal masks kept as a buffer) need the whole
    row, shorter than two texts, to fit.
    """
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    limits = []
    for kind, name in (("sliding_attention", "sliding_window"), ("chunked_attention", "attention_chunk_size")):
        size = getattr(config, name, None)
        if size is not None and (kinds is None or kind in kinds):
            limits.append(size)
    if "local" in (getattr(config, "attention_layers", None) or ()):
        limits.append(config.window_size // 2)
    buffers = (each for name, each in model.named_buffers() if name.rpartition(".")[2] == "bias" and each.ndim == 4)
    limits += [each.shape[-1] // 2 for each in buffers]
    return min(limits, default=None)
