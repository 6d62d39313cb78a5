"""Checkpoints that are whole or absent: a marker with the hash of every file, written last.

TRL resumes silently with other weights where ``optimizer.pt`` is missing, and crashes on a torn file; so a checkpoint
counts only if its marker is there and every file still has the size and hash it names.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from w2s_pref.core.errors import file_hash

log = logging.getLogger(__name__)

MARKER = "w2s-complete.json"


def seal(folder: Path) -> None:
    """Write the marker of a finished checkpoint: temporary file, then rename."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(MARKER))
    files = {str(path.relative_to(folder)): file_hash(path) for path in found}
    temporary = folder / (MARKER + ".tmp")
    with temporary.open("w", encoding="utf-8") as handle:
        json.dump(files, handle)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.rename(folder / MARKER)


def whole(folder: Path) -> bool:
    """True where the marker is there and every file it names has its hash."""
    try:
        files: dict[str, str] = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        return all(file_hash(folder / name) == value for name, value in files.items())
    except (OSError, ValueError):
        return False


def latest(work: Path, remove_torn: bool = True) -> Path | None:
    """The newest whole checkpoint under ``work``; torn ones are removed (by one process only)."""
    found = sorted(work.glob("checkpoint-*"), key=lambda path: -int(path.name.rsplit("-", 1)[1]))
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


class SealCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Seal each checkpoint after every process has written its part."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the Trainer after a checkpoint was saved."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
