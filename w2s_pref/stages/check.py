"""What would fail in a model only after hours, told before anything is built. Reads no weights."""

from __future__ import annotations

from typing import Any, Protocol

from w2s_pref.core.errors import W2SError
from w2s_pref.models.info import ModelFacts
from w2s_pref.parallel.division import division

#: How architectures are called that read a text in both directions.
NOT_CAUSAL = ("ForMaskedLM", "ForPreTraining")


class _Training(Protocol):
    """A stage that trains a model."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> ModelFacts: ...
    @property
    def arguments(self) -> dict[str, Any]: ...


def check_language_model(model: ModelFacts) -> None:
    """A policy writes from left to right. Transformers would load an encoder as one, and it would see its own answer.

    Raises:
        W2SError: the model's configuration says that it is an encoder.
    """
    config = model.config
    names = [name for name in config.get("architectures") or [] if name.endswith(NOT_CAUSAL)]
    if config.get("is_decoder") or not (names or config.get("is_encoder_decoder")):
        return
    kind = names[0] if names else config.get("model_type")
    raise W2SError(
        f"model {model.spec.path!r} is a {kind}, which does not write from left to right: it can be a reward model, "
        "not a policy; take a causal language model, or the method reward"
    )


def check_training(stage: _Training, batch: int, processes: int) -> None:
    """What a launch of so many processes must be for a training.

    Every effective batch must be shared equally. TRL casts what is trained beside quantized weights to bfloat16, so
    such a training must compute in it.

    Raises:
        W2SError: it is not so.
    """
    if batch % processes:
        raise W2SError(
            f"{stage.name}: its effective batch of {batch} cannot be shared equally by {processes} processes; "
            "choose training.batch_size (and the size of the conflict split) so that it can, or other processes"
        )
    if stage.model.spec.quantization is None:
        return
    if division() is not None:
        raise W2SError(f"{stage.name}: quantized models train data parallel; launch with accelerate_configs/ddp.yaml")
    if not stage.arguments.get("bf16"):
        raise W2SError(f"{stage.name}: adapters of quantized models are bfloat16; set training.bf16: true")


def check_ppo(stage: _Training) -> None:
    """PPO keeps the whole model in every process, and its precision is the model's own.

    Raises:
        W2SError: the launch divides models (DeepSpeed, FSDP), or the model is quantized.
    """
    if stage.model.spec.quantization is not None:
        raise W2SError(f"{stage.name}: quantized models do not train with PPO; choose rloo or grpo")
    if division() is not None:
        raise W2SError(
            f"{stage.name}: PPO trains data parallel only, every process holds the whole model; launch with "
            "accelerate_configs/ddp.yaml (what was built under another configuration is taken from the store)"
        )
