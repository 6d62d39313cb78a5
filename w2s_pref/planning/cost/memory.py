"""Memory of one process while it trains: weights, gradients, optimizer state, and activations of a micro-batch."""

from __future__ import annotations

from math import ceil

from w2s_pref.planning.cost.shapes import Shape, shape
from w2s_pref.planning.cost.sharding import Sharding
from w2s_pref.stages.online import OnlinePolicyStage
from w2s_pref.stages.policies import PolicyStage
from w2s_pref.stages.rewards import TrainStage

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

#: Share of the parameters that an adapter or a head alone trains.
ADAPTED = 0.02

#: Bytes of activations per token, hidden unit and layer in half precision, without attention scores (Korthikanti et
#: al. 2022, arXiv 2205.05198, table 2).
ACTIVATIONS = 34

#: Tokens of a part of a batch where the recipe sets none, on a CPU; on a GPU it follows the free memory.
TOKENS_AT_ONCE = 4096


def training_memory(stage: TrainStage | PolicyStage, sharding: Sharding | None = None) -> int | None:
    """Bytes that one process needs to train the stage; None where the model's shape is not known. An estimate.

    Weights and gradients in the model's dtype, Adam's two moments in float32. A policy adds the logits of its
    responses; PPO a value model with its optimizer, and a reference (none for an adapter).
    """
    known = shape(stage.model)
    if known is None:
        return None
    over, size = sharding or Sharding(), BYTES.get(stage.model.spec.dtype, 4)
    adapted = stage.model.spec.lora is not None or stage.model.spec.freeze_backbone
    trained = known.parameters * (ADAPTED if adapted else 1.0)
    weights = known.parameters * size / over.parts(3)
    state = trained * (size / over.parts(2) + 8 / over.parts(1))
    if isinstance(stage, OnlinePolicyStage):
        state *= 2 if stage.algorithm == "ppo" else 1
        weights *= (2 if stage.algorithm == "ppo" else 1) + (0 if adapted else 1)
    return ceil(weights + state + _activations(stage, known, size))


def _activations(stage: TrainStage | PolicyStage, known: Shape, size: int) -> float:
    """One micro-batch: ``micro_batch_tokens`` tokens through all layers, in float32 twice the bytes."""
    tokens = int(stage.arguments.get("micro_batch_tokens") or TOKENS_AT_ONCE)
    found = float(tokens * known.hidden * known.layers * ACTIVATIONS * (2 if size == 4 else 1))
    if stage.arguments.get("activation_checkpointing") or stage.arguments.get("gradient_checkpointing"):
        found /= max(1, known.layers)
    if isinstance(stage, PolicyStage):
        found += tokens * known.vocabulary * 4
    return found
