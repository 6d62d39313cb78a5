"""Encoder or decoder: what a model was trained to predict decides which of its tokens has seen a whole text."""

from __future__ import annotations

from typing import Any

from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES


def is_encoder(config: Any) -> bool:
    """True for architectures trained on masked words: every token sees the whole text.

    Asked of the masked family, because many encoders can be configured as decoders, but no decoder as an encoder.
    """
    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
