"""What stages that run a model share: what is refused beforehand, how it is built, where policies start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

import numpy as np

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.models.info import ModelFacts
from w2s_pref.parallel.world import division

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from w2s_pref.models.spec import ModelSpec

#: How architectures are called that read a text in both directions.
NOT_CAUSAL = ("ForMaskedLM", "ForPreTraining")
#: Families that do so unless their configuration says ``is_decoder``, whatever head a checkpoint has.
ENCODERS = frozenset(
    {"albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta"}
    | {"xlm-roberta"}
)


class _Training(Protocol):
    """A stage that trains a model."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> ModelFacts: ...
    @property
    def seed(self) -> int: ...
    @property
    def arguments(self) -> dict[str, Any]: ...


def check_language_model(model: ModelFacts) -> None:
    """A policy writes from left to right. Transformers would load an encoder as one, and it would see its own answer.

    Raises:
        W2SError: the model's configuration says that it is an encoder.
    """
    config = model.config
    names = [name for name in config.get("architectures") or [] if name.endswith(NOT_CAUSAL)]
    encodes = names or config.get("is_encoder_decoder") or config.get("model_type") in ENCODERS
    if config.get("is_decoder") or not encodes:
        return
    kind = names[0] if names else config.get("model_type")
    raise W2SError(
        f"model {model.spec.path!r} is a {kind}, which does not write from left to right: it can be a reward model, "
        "not a policy; take a causal language model, or the method reward"
    )


def check_texts_first(model: ModelFacts, where: str) -> None:
    """Language modelling before a head is trained: all of a causal model trains, and goes on training.

    Raises:
        W2SError: the model is an encoder, or trains an adapter or its head alone.
    """
    check_language_model(model)
    reasons = {"lora": "an adapter cannot be fine-tuned twice", "freeze_backbone": "nothing but a head trains"}
    for key, why in reasons.items():
        if getattr(model.spec, key):
            raise W2SError(f"{where}: {why}; drop it, or {key} of model {model.spec.path!r}")


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


#: Training pairs that are scored again after saving: enough to meet every tensor, few beside a training.
CHECKED_PAIRS = 16
#: The same for log-probabilities, whose pass holds the whole vocabulary for every token.
CHECKED_ANSWERS = 8

#: Largest relative difference of a score (from 1 on; absolute below). The reloaded model may sit on another device and
#: sum in another order. float32 rounds by 2^-24 = 6e-8, so 1e-4 is over a thousand roundings in one direction, bfloat16
#: by 2^-9 = 2e-3, so 5e-2 is twenty-five; a tensor that was lost or drawn anew moves scores by their own size.
SCORE_TOLERANCE = {"float32": 1e-4}
HALF_SCORE_TOLERANCE = 5e-2
#: A log-probability is a sum over the answer's tokens, which round one by one: ten times as much.
SUMMED = 10.0


def check_reload(trained: Floats | None, saved: Floats, dtype: str, summed: bool = False) -> float | None:
    """The largest difference between trained and reloaded model, from what both say of the same texts.

    Args:
        trained: None where the trained model cannot be asked here (its weights may be divided among processes).
        dtype: the model's, as the recipe writes it.
        summed: the numbers are log-probabilities of whole answers, in nats.

    Returns:
        None where nothing was compared.

    Raises:
        W2SError: they differ by more than rounding, or what was saved gives no numbers.
    """
    if not np.isfinite(saved).all():
        raise W2SError("the saved model gives scores or log-probabilities that are not numbers")
    if trained is None or not trained.size:
        return None
    difference = float(np.abs(trained - saved).max())
    tolerance = SCORE_TOLERANCE.get(dtype, HALF_SCORE_TOLERANCE) * (SUMMED if summed else 1.0)
    if not difference <= tolerance * max(1.0, float(np.abs(trained).max())):
        what = "log-probabilities" if summed else "scores"
        raise W2SError(f"saved and trained model differ ({what} by {difference:.2g})")
    return difference


#: A model in memory, and its tokenizer.
Loaded: TypeAlias = "tuple[PreTrainedModel, PreTrainedTokenizerBase]"


@dataclass(frozen=True, eq=False)
class ModelStage(Stage):
    """A stage that all processes build together, because it runs a model."""

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``compute`` with token ids from the cache, and what all processes computed: tokens, padding and without."""
        from w2s_pref.data.token_cache import kept_in
        from w2s_pref.models.batches.read import counting
        from w2s_pref.training.environment import quiet

        quiet()
        with kept_in(builder.store.root / "tokens"), counting() as seen:
            meta = self.compute(builder, folder)
        parts = builder.world.gather((seen.positions, seen.real))
        return {**meta, "computed_tokens": sum(p for p, _ in parts), "real_tokens": sum(real for _, real in parts)}

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """Write the files of the artifact, and return what the stage says about itself."""
        raise NotImplementedError(f"{type(self).__name__} is never built")


def job_facts(builder: Builder, stage: _Training) -> dict[str, Any]:
    """What every training is told: seed, new adapter, what a saved adapter names as its base, whom to tell progress."""
    model = stage.model
    return {
        "seed": stage.seed,
        "lora": model.spec.lora,
        "base_path": str(model.folder or model.spec.path),
        "progress": builder.progress,
    }


def begun(spec: ModelSpec, start: Stage | None, builder: Builder) -> ModelSpec:
    """The model as the recipe names it, or after its generative fine-tuning."""
    if start is None:
        return spec
    trained = str(builder.artifact(start).folder.resolve())
    return spec.model_copy(update={"path": trained, "revision": None, "from_config": None})


def work_folder(builder: Builder, stage: Stage) -> Path:
    """Where a training keeps its checkpoints until the artifact stands."""
    work = builder.store.partial(stage.kind, stage.key)
    with builder.store.guard():
        work.mkdir(parents=True, exist_ok=True)
    return work


def write_history(builder: Builder, folder: Path, history: list[dict[str, Any]]) -> None:
    """``history.json``: one entry a logged step, its keys in order, as they come back from a checkpoint."""
    if builder.world.main:
        (folder / "history.json").write_text(json.dumps(history, sort_keys=True), encoding="utf-8")


def model_payload(model: ModelFacts) -> dict[str, Any]:
    """What decides a model before training."""
    return {
        "weights": model.hash,
        "tokenizer": model.tokenizer_hash,
        **model.spec.model_dump(include={"dtype", "pad_token", "lora", "freeze_backbone", "trust_remote_code"}),
        "from_config": model.spec.from_config is not None,
        **model.spec.model_dump(include={"quantization", "freeze_layers"}, exclude_none=True),
    }


class CausalStage(Stage):
    """A causal model: it gives log-probabilities, it writes, and policies start from it."""

    def load(self, builder: Builder, trainable: bool = False) -> Loaded:
        """Model and tokenizer, ready to score on this process's device, or as a trainer wants them."""
        from w2s_pref.models.load import placed

        model, tokenizer = self._read(builder, trainable)
        return (model if trainable else placed(model.eval())), tokenizer

    def recalled(self, builder: Builder) -> Loaded:
        """The same, to score; the last one stays in memory."""
        return builder.recall(self.key, lambda: self.load(builder))

    def _read(self, builder: Builder, trainable: bool) -> Loaded:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class StartStage(CausalStage):
    """The causal model that a policy starts from: files of the recipe, never built and never stored."""

    kind: ClassVar[str] = "start"
    model: ModelFacts
    seed: int

    @property
    def payload(self) -> dict[str, Any]:
        """The model; the seed only where it draws the weights."""
        return {
            "model": model_payload(self.model),
            "seed": self.seed if self.model.spec.from_config is not None else None,
        }

    def _read(self, builder: Builder, trainable: bool) -> Loaded:
        from w2s_pref.models.policies import load_policy

        return load_policy(self.model.spec, builder.base, self.seed)
