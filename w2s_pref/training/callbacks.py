"""Callbacks of every training: checkpoints, how far it is, how many tokens it saw, an end where its loss is no number.

Checkpoints are whole or absent: a marker with the hash of every file is written last. TRL resumes silently with other
weights where ``optimizer.pt`` is missing, and crashes on a torn file; so a checkpoint counts only if its marker is
there and every file still has its hash.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import ExportableState

from w2s_pref.core.errors import W2SError, file_hash, shortened
from w2s_pref.core.files import by_umask, refused
from w2s_pref.core.json_io import json_values

log = logging.getLogger(__name__)

MARKER = "w2s-complete.json"


def seal(folder: Path) -> None:
    """Write the marker of a finished checkpoint: temporary file, then rename."""
    by_umask(folder)
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(MARKER))
    files = {str(path.relative_to(folder)): file_hash(path) for path in found}
    temporary = folder / (MARKER + ".tmp")
    with temporary.open("w", encoding="utf-8") as handle:
        json.dump(files, handle)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.rename(folder / MARKER)


def whole(folder: Path) -> bool:
    """True where the marker is there and every file it names has its hash.

    Raises:
        W2SError: a file may not be read: another user's checkpoint is not torn.
    """
    try:
        files = json_values((folder / MARKER).read_bytes())
        return isinstance(files, dict) and all(file_hash(folder / name) == value for name, value in files.items())
    except PermissionError as error:
        raise refused(Path(error.filename or folder)) from error
    except (OSError, ValueError):
        return False


def latest(work: Path, remove_torn: bool = True) -> Path | None:
    """The newest whole checkpoint under ``work``; torn ones are removed (by one process only)."""
    numbered = [path for path in work.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdecimal()]
    found = sorted(numbered, key=lambda path: -int(path.name.removeprefix("checkpoint-")))
    for folder in found:
        if whole(folder):
            return folder
        if remove_torn:
            shutil.rmtree(folder, ignore_errors=True)
    return None


def agreed_on(work: Path) -> Path | None:
    """The newest whole checkpoint under ``work`` as the main process finds it: every process resumes from that one."""
    state = PartialState()
    choice = [latest(work) if state.is_main_process else None]
    if state.num_processes > 1:
        broadcast_object_list(choice)
    if choice[0] is not None:
        log.info("resuming from %s", choice[0].name)
    return choice[0]


@contextmanager
def resuming(checkpoint: Path | None) -> Iterator[None]:
    """Within the block, a sealed checkpoint is loaded.

    Raises:
        W2SError: it is whole, and yet not of this training: somebody put another's files there, and sealed them.
    """
    try:
        yield
    except (OSError, W2SError):
        raise
    except Exception as error:
        reason = shortened(" ".join(str(error).split()))
        raise W2SError(
            f"the checkpoint {checkpoint} does not fit this training ({type(error).__name__}: {reason}); remove that "
            "folder and run the same command again: it continues from the checkpoint before it, or starts anew"
        ) from error


@contextmanager
def _made() -> Iterator[None]:
    """Within the block, an optimizer or a schedule is made as the recipe says.

    Raises:
        W2SError: a package is not there, or an argument that it needs or does not take.
    """
    try:
        yield
    except (ImportError, TypeError, ValueError) as error:
        reason = shortened(" ".join(str(error).split()))
        raise W2SError(
            f"training: {reason}; take another optim or lr_scheduler_type, or mend optim_args or lr_scheduler_kwargs"
        ) from error


def continued(trainer: Trainer, checkpoint: Path | None) -> None:
    """Train on from a checkpoint, or from the start.

    A checkpoint of a training that had ended, by its steps, by early stopping or by an alarm, is loaded and no more:
    the Trainer would train one more step wherever the end was not that of an epoch.
    """
    with resuming(checkpoint):
        over = checkpoint is not None and ended(checkpoint)
    if over:
        trainer._run_epoch = lambda **_: setattr(trainer.control, "should_training_stop", True)
    for name in ("_load_from_checkpoint", "_load_optimizer_and_scheduler", "_load_rng_state"):
        setattr(trainer, name, resuming(checkpoint)(getattr(trainer, name)))
    for name in ("create_optimizer", "create_scheduler"):
        setattr(trainer, name, _made()(getattr(trainer, name)))
    trainer.callback_handler.callbacks.insert(0, LoggedLoss(trainer))  # before what seals a checkpoint
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def ended(checkpoint: Path) -> bool:
    """Whether the training was over when this checkpoint was saved: whatever ended it had said so by then."""
    file = checkpoint / TRAINER_STATE_NAME
    return file.is_file() and over(TrainerState.load_from_json(str(file)))


def over(state: TrainerState) -> bool:
    """Whether the training had ended when a checkpoint with this state was saved."""
    kept = state.stateful_callbacks.get("TrainerControl")
    return bool(kept["args"]["should_training_stop"]) if kept else False


class LoggedLoss(TrainerCallback):  # type: ignore[misc]
    """What a training had summed up since it last logged a loss goes on behind a checkpoint: Trainer begins anew."""

    #: Attributes of Trainer: the sum since, the sum before, and the step up to which losses were logged.
    KEPT = ("_tr_loss", "_total_loss_scalar", "_globalstep_last_logged")

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the Trainer after a checkpoint was saved: every process writes its own sum into it."""
        file = self._file(args, state)
        file.parent.mkdir(parents=True, exist_ok=True)
        sums = [float(getattr(self._trainer, name)) for name in self.KEPT]
        file.write_text(json.dumps([*sums, {name: list(map(repr, each)) for name, each in self._means.items()}]))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the Trainer once it has loaded a checkpoint."""
        file = self._file(args, state)
        if state.global_step and file.is_file():
            summed, before, logged, *means = json_values(file.read_bytes())
            self._trainer._tr_loss += summed
            self._trainer._total_loss_scalar, self._trainer._globalstep_last_logged = before, int(logged)
            self._means.update({name: list(map(float, each)) for name, each in (means[0] if means else {}).items()})

    @property
    def _means(self) -> dict[str, list[float]]:
        """What trainers of TRL average at the next log, rewards among it."""
        found: dict[str, list[float]] = getattr(self._trainer, "_metrics", {}).get("train", {})
        return found

    def _file(self, args: TrainingArguments, state: TrainerState) -> Path:
        return Path(args.output_dir) / f"checkpoint-{state.global_step}" / f"logged-loss-{args.process_index}.json"


class SealCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Seal each checkpoint after every process has written its part."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the Trainer after a checkpoint was saved."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


#: Called with (optimizer steps done, steps in all).
Progress = Callable[[int, int], None]


class StopOnNaN(TrainerCallback):  # type: ignore[misc]
    """End the run with a sentence when the loss is no longer a number."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None:
        """Called by the Trainer at every logging step."""
        loss = (logs or {}).get("loss")
        norm = None if args.fp16 else (logs or {}).get("grad_norm")  # a scale that is too large skips a step, no more
        if any(value is not None and not abs(float(value)) < float("inf") for value in (loss, norm)):
            raise W2SError(
                f"training diverged at step {state.global_step}: loss {loss}, gradient norm {norm}; "
                "lower learning_rate, or set max_grad_norm"
            )


class Report(TrainerCallback):  # type: ignore[misc]
    """Tell the caller how far training is."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the Trainer after every optimizer step."""
        self.progress(state.global_step, state.max_steps)


class TokenCount(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Counts of tokens that lie in the checkpoint's state, so that a run which goes on later counts on.

    Attributes:
        tokens: real tokens of the texts trained on, a prompt once for every answer, fill rows not counted.
        forward_tokens: positions that went through the model, padding and ranking passes included.
    """

    def __init__(self) -> None:
        self.tokens = self.forward_tokens = 0
        self._own = [0, 0]

    def add(self, tokens: int, forward_tokens: int) -> None:
        """Count what this process did."""
        self._own[0] += tokens
        self._own[1] += forward_tokens

    def sum_up(self, accelerator: Accelerator) -> None:
        """Add what every process did since the last time; all processes must call."""
        own = accelerator.reduce(torch.tensor(self._own, device=accelerator.device), reduction="sum")
        tokens, forward_tokens = own.tolist()
        self.tokens += tokens
        self.forward_tokens += forward_tokens
        self._own = [0, 0]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": {"tokens": self.tokens, "forward_tokens": self.forward_tokens}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go on from what the checkpoint says."""
        kept = state.stateful_callbacks.get(type(self).__name__, self.state())["attributes"]
        self.tokens, self.forward_tokens = kept["tokens"], kept["forward_tokens"]
