"""What every training with a trainer of TRL shares: job, batch, configuration, callbacks, adapter, the run itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from w2s_pref.core.errors import W2SError
from w2s_pref.models.load import clean_saved_folder
from w2s_pref.training import sharding
from w2s_pref.training.arguments import micro_batches
from w2s_pref.training.callbacks import Progress, Report, SealCheckpoints, StopOnNaN, agreed_on, continued
from w2s_pref.training.compiled import Compiler, compiled, take
from w2s_pref.training.effective import AtOnce, EffectiveBatch
from w2s_pref.training.environment import set_environment
from w2s_pref.training.raven import SupervisorWeights

if TYPE_CHECKING:
    from peft import LoraConfig


class Monitor(Protocol):
    """What adds itself to a trainer before it starts, such as ``RiskMonitor``."""

    def attach(self, trainer: Trainer) -> object:
        """Add it to the trainer's callbacks."""


class Together:
    """Several of them."""

    def __init__(self, *each: Monitor | None) -> None:
        self._each = [one for one in each if one is not None]

    def attach(self, trainer: Trainer) -> None:
        """Add each to the trainer's callbacks."""
        for one in self._each:
            one.attach(trainer)


@dataclass(kw_only=True)
class Job:
    """What every training with a trainer of TRL has, whatever it trains.

    Attributes:
        arguments: fields of the trainer's configuration, ``batch_size`` and ``micro_batch_tokens``.
        updates: optimizer steps; None for ``num_train_epochs``.
        lora: arguments of a new adapter; a policy that is an adapter already goes on being trained as it is.
        base_path: what a saved adapter names as its base model.
        progress: called with (optimizer steps done, steps in all).
        monitor: watches the training, and changes nothing of it.
        raven: weights over several supervisors, learned with the model; their probabilities are columns.
    """

    arguments: dict[str, Any]
    seed: int
    updates: int | None = None
    lora: dict[str, Any] | None = None
    base_path: str = ""
    progress: Progress | None = field(default=None, repr=False)
    monitor: Monitor | None = field(default=None, repr=False)
    raven: SupervisorWeights | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Batch:
    """The effective batch, how it is split, and the arguments that are left for the trainer.

    Attributes:
        per_device, accumulation: the split of trainers that make their own micro-batches (RLOO, GRPO).
        at_once: what limits ours.
        compiler: what the model's layers are compiled with while it trains, None for nothing.
    """

    size: int
    per_device: int
    accumulation: int
    world: int
    at_once: AtOnce
    arguments: dict[str, Any]
    compiler: Compiler | None = None

    @property
    def whole(self) -> dict[str, Any]:
        """Arguments of a trainer that gets all rows of a process at once, and splits them itself."""
        return {"per_device_train_batch_size": self.size // self.world, "gradient_accumulation_steps": 1}

    @classmethod
    def of(cls, arguments: dict[str, Any], by_layer: bool = False) -> Batch:
        """Split ``batch_size`` over the processes of this launch.

        Args:
            by_layer: where ``torch_compile`` is asked for, layers are compiled; else the trainer does what it means.
        """
        left = dict(arguments)
        compiler = take(left) if by_layer else None
        size = int(left.pop("batch_size"))
        world = int(os.environ.get("WORLD_SIZE", "1"))
        at_once = AtOnce(left.pop("micro_batch_tokens", None), left.pop("per_device_train_batch_size", None))
        try:
            per_device, accumulation = micro_batches(size, at_once.rows, world)
        except ValueError as error:
            raise W2SError(f"training: {error}") from error
        return cls(size, per_device, accumulation, world, at_once, left, compiler)


def configuration(
    kind: Callable[..., TrainingArguments], job: Job, batch: Batch, work: Path, **more: Any
) -> TrainingArguments:
    """The trainer's configuration: what the toolkit decides, then the recipe's arguments."""
    set_environment()
    ours = {
        "output_dir": str(sharding.checkpoints(work)),
        "seed": job.seed,
        "data_seed": job.seed,
        "per_device_train_batch_size": batch.per_device,
        "gradient_accumulation_steps": batch.accumulation,
        "eval_strategy": "no",
        "save_strategy": "steps",
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,  # it reads every step's loss, and hides what StopOnNaN should see
        "dataloader_pin_memory": False,
        **sharding.device_arguments(torch.cuda.is_available() or torch.backends.mps.is_available()),
    }
    together = {**ours, **more, **batch.arguments}
    if job.updates is not None and together.get("max_steps", -1) < 0:  # -1 is what a recipe may say of epochs
        together["max_steps"] = job.updates
    if together.get("save_total_limit") == 1:  # the older one is deleted before the newer one is sealed
        together["save_total_limit"] = 2
    try:
        return kind(**together)
    except (ValueError, TypeError, ImportError) as error:
        raise W2SError(f"training: the arguments do not go together: {error}") from error


def callbacks(job: Job) -> list[TrainerCallback]:
    """Sealed checkpoints, an end at NaN, and progress where somebody listens."""
    return [SealCheckpoints(), StopOnNaN(), *([Report(job.progress)] if job.progress else [])]


def make_trainer(
    kind: Callable[..., Trainer],
    job: Job,
    config: TrainingArguments,
    tokenizer: PreTrainedTokenizerBase,
    lora: LoraConfig | None,
    **own: Any,
) -> Trainer:
    """The trainer, with its callbacks and its adapter; ``own``: what only this kind of trainer takes."""
    try:
        trainer = kind(args=config, processing_class=tokenizer, peft_config=lora, callbacks=callbacks(job), **own)
    except (ImportError, RuntimeError) as error:  # use_liger_kernel, report_to
        if not isinstance(error, ImportError) and "to be installed" not in str(error):
            raise
        raise W2SError(f"training: {error}") from error
    except ValueError as error:  # what libraries say about an adapter's arguments
        if job.lora is None:
            raise
        raise W2SError(f"lora: {error}") from error
    trainer.create_model_card = lambda **_: None  # TRL writes one a checkpoint, and asks for all versions each time
    return trainer


def run(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, job: Job, batch: Batch, save_to: Path) -> dict[str, Any]:
    """Train from the newest whole checkpoint on, save, and say how it went."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    _assert_world(trainer, batch.world)
    sharding.check(trainer)
    if job.monitor is not None:
        job.monitor.attach(trainer)
    if trainer.args.disable_dropout:
        without_dropout(trainer.model)
    with compiled(trainer.model, batch.compiler), undropped(trainer.model, trainer.args.disable_dropout):
        continued(trainer, agreed_on(Path(trainer.args.output_dir)))
    save(trainer, tokenizer, save_to, job.base_path)
    # Mixed precision wraps forward; whoever scores the trained model next gets it as it will be loaded.
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    done = {"steps": trainer.state.global_step, "history": history, "world_size": batch.world}
    done |= trainer.totals() if isinstance(trainer, EffectiveBatch) else {}
    sharding.release(trainer)
    return done


def adapter(lora: dict[str, Any] | None, task: str, modules: set[str]) -> LoraConfig | None:
    """The adapter's configuration, None without one; ``modules`` are trained and saved whole beside it."""
    if lora is None:
        return None
    from peft import LoraConfig

    whole = {*(lora.get("modules_to_save") or ()), *modules}
    more = {"modules_to_save": sorted(whole)} if whole else {}
    try:
        return LoraConfig(**{"task_type": task, **lora, **more})
    except (ValueError, TypeError) as error:
        raise W2SError(f"lora: {error}") from error


def _assert_world(trainer: Trainer, world: int) -> None:
    if trainer.accelerator.num_processes != world:
        raise W2SError(
            f"launched as {world} processes but accelerate formed {trainer.accelerator.num_processes}; "
            "use a configuration from accelerate_configs/ (for two CPU processes: --multi_gpu --num_processes 2)"
        )


def save(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, folder: Path, base_path: str) -> None:
    """Save model and tokenizer as safetensors and JSON; no pickle stays behind."""
    folder.mkdir(parents=True, exist_ok=True)
    trainer.save_model(str(folder))
    if trainer.accelerator.is_main_process:
        tokenizer.save_pretrained(str(folder))
        clean_saved_folder(trainer.model, folder, base_path)
    trainer.accelerator.wait_for_everyone()


#: Families whose layers read dropout from the configuration at every pass.
BY_CONFIG = frozenset({"falcon", "persimmon", "prophetnet", "blt"})


@contextmanager
def undropped(model: nn.Module, off: bool) -> Iterator[None]:
    """Where dropout is ``off``, the configuration says so while it trains to models that ask it at every pass."""
    found = {id(each): each for module in model.modules() if (each := getattr(module, "config", None)) is not None}
    kept = [
        (config, name, value)
        for config in found.values()
        if off and getattr(config, "model_type", "") in BY_CONFIG
        for name, value in vars(config).items()
        if "drop" in name and isinstance(value, float)
    ]
    for config, name, _ in kept:
        setattr(config, name, 0.0)
    try:
        yield
    finally:
        for config, name, value in kept:
            setattr(config, name, value)


def without_dropout(model: nn.Module) -> None:
    """Set every dropout probability to 0: of dropout modules, and those that modules keep as plain numbers.

    TRL's ``disable_dropout`` sees modules only, but OPT (and others) call the function with ``self.dropout``, so that
    it would train, and rank its own margins, under noise.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)
