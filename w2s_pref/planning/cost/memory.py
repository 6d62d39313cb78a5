"""Memory of a training, and how a launch spreads a model over its processes, as an accelerate configuration says it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from w2s_pref.core.errors import W2SError, shown
from w2s_pref.core.yaml_io import yaml_file
from w2s_pref.engine.stage import Stage
from w2s_pref.models.shapes import BYTES, Shape, shape
from w2s_pref.stages.online import OnlinePolicyStage
from w2s_pref.stages.pairs import PairTraining, planned_batch
from w2s_pref.stages.policies import PolicyStage
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.studies.generalization.finetune import FinetuneStage


@dataclass(frozen=True)
class Sharding:
    """Processes, and which of weights, gradients and optimizer state each of them has only a part of.

    ``stage`` is ZeRO's: 0 nothing, 1 the optimizer state, 2 gradients too, 3 weights too (as FSDP).
    """

    processes: int = 1
    stage: int = 0
    name: str = "one process"

    def parts(self, what: int) -> int:
        """Into how many parts the optimizer state (1), the gradients (2) or the weights (3) are divided."""
        return self.processes if self.stage >= what else 1


def read_sharding(file: Path, processes: int | None = None) -> Sharding:
    """What an accelerate configuration says.

    Args:
        processes: instead of the file's ``num_processes``, as ``accelerate launch --num_processes`` would have it.

    Raises:
        W2SError: no YAML file of accelerate.
    """
    given = yaml_file(file, "accelerate configuration")
    if not isinstance(given, dict) or "distributed_type" not in given:
        raise W2SError(f"{file}: has no distributed_type, so it is no accelerate configuration")
    kind, count = str(given["distributed_type"]), processes or given.get("num_processes") or 1
    stage = _stage(kind, given)
    if type(count) is not int or type(stage) is not int or count < 1:
        raise W2SError(
            f"{file}: num_processes ({shown(count)}) and zero_stage ({shown(stage)}) should be whole numbers"
        )
    return Sharding(count, stage, f"{file.stem} × {count}")


def _stage(kind: str, given: dict[str, Any]) -> Any:
    if kind == "FSDP":
        return 3
    if kind != "DEEPSPEED":
        return 0
    config = given.get("deepspeed_config") or {}
    return config.get("zero_stage", 2) if isinstance(config, dict) else config


#: Share of the parameters that an adapter or a head alone trains.
ADAPTED = 0.02

#: Bytes of activations per token, hidden unit and layer in half precision, without attention scores (Korthikanti et
#: al. 2022, arXiv 2205.05198, table 2).
ACTIVATIONS = 34

#: Most tokens of a part of a batch where the recipe sets none, on a CPU; on a GPU it follows the free memory.
TOKENS_AT_ONCE = 4096


def training_memory(stage: Stage, sharding: Sharding | None = None) -> int | None:
    """Bytes that one process needs to train the stage; None where nothing is trained, or no shape known. An estimate.

    Weights and gradients in the model's dtype, Adam's two moments in float32. A policy adds the logits of its
    responses; PPO a value model with its optimizer, and a reference (none for an adapter).
    """
    if not isinstance(stage, TrainStage | PolicyStage | FinetuneStage) or (
        isinstance(stage, TrainStage) and not stage.parts
    ):
        return None
    known = shape(stage.model)
    if known is None:
        return None
    over, size = sharding or Sharding(), BYTES.get(stage.model.spec.dtype, 4)
    adapted = stage.model.spec.lora is not None or stage.model.spec.freeze_backbone
    kept = known.stored * (stage.model.spec.freeze_layers or 0) / known.layers
    trained = known.parameters * ADAPTED if adapted else known.parameters - kept
    weights = known.parameters * size / over.parts(3)
    state = trained * (size / over.parts(2) + 8 / over.parts(1))
    if isinstance(stage, OnlinePolicyStage):
        state *= 2 if stage.algorithm == "ppo" else 1
        weights *= (2 if stage.algorithm == "ppo" else 1) + (0 if adapted else 1)
    return ceil(weights + state + _activations(stage, known, size, over.processes))


def _activations(stage: TrainStage | PolicyStage | FinetuneStage, known: Shape, size: int, processes: int) -> float:
    """One micro-batch through all layers that keep theirs for the backward pass, in float32 twice the bytes."""
    tokens, spec = _most_tokens(stage, processes), stage.model.spec
    kept = 0 if spec.freeze_backbone else known.layers - (spec.freeze_layers or 0)
    if stage.arguments.get("activation_checkpointing"):
        kept = 1
    layers = max(1, kept)  # what is not kept is there as long as its layer is computed
    found = float(tokens * known.hidden * layers * ACTIVATIONS * (2 if size == 4 else 1))
    if isinstance(stage, PolicyStage):
        found += tokens * known.vocabulary * 4
    return found


def _most_tokens(stage: TrainStage | PolicyStage | FinetuneStage, processes: int) -> int:
    """Tokens that go through the model at once: ``micro_batch_tokens``, or less where a process's share has no more."""
    at_once = int(stage.arguments.get("micro_batch_tokens") or TOKENS_AT_ONCE)
    if isinstance(stage, OnlinePolicyStage):  # its batches are answers, as long as they come
        return at_once
    batch = planned_batch(stage) if isinstance(stage, PairTraining) else int(stage.arguments["batch_size"])
    share = ceil(batch / processes)
    rows = min(share, stage.arguments.get("per_device_train_batch_size") or share)
    return min(at_once, rows * (2 if isinstance(stage, PairTraining) else 1) * int(stage.tokens["max_length"]))
