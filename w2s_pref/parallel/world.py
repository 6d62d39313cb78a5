"""The processes of one launch. Alone, nothing of torch is imported; launched by accelerate or torchrun, it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal, TypeVar

from w2s_pref.core.errors import W2SError
from w2s_pref.parallel import heartbeat

#: Ways to divide a model; without one every process holds all of it.
Division = Literal["deepspeed", "fsdp"]


def division() -> Division | None:
    """What this launch divides models with. Imports nothing."""
    if _flag("ACCELERATE_USE_DEEPSPEED"):
        return "deepspeed"
    return "fsdp" if _flag("ACCELERATE_USE_FSDP") else None


def _flag(name: str) -> bool:
    return os.environ.get(name, "false").lower() == "true"


def refuse_impossible() -> None:
    """Say before any work what this machine, or this launch, cannot do.

    Raises:
        W2SError: FSDP without an accelerator (accelerate 1.15 would train data parallel and say nothing), with models
            that only the first process loads, or with pieces of models in the place of models.
    """
    if division() != "fsdp":
        return
    _refuse_pieces()
    import torch

    if _flag("FSDP_CPU_RAM_EFFICIENT_LOADING"):
        raise W2SError(
            "fsdp_cpu_ram_efficient_loading: models that are loaded to score would be empty on all processes but the "
            "first; set it to false in the launch's configuration"
        )
    if not torch.accelerator.is_available():
        raise W2SError(
            "FSDP needs a GPU in every process: on CPUs accelerate would silently train plain data parallel; launch "
            "with accelerate_configs/ddp.yaml, zero2.yaml or zero3.yaml instead"
        )


def _refuse_pieces() -> None:
    """Only under FULL_STATE_DICT, which has the number 1, does transformers save a model that can be loaded again."""
    version = os.environ.get("FSDP_VERSION", "1")
    default = "FULL_STATE_DICT" if version == "1" else "SHARDED_STATE_DICT"  # accelerate's
    kind = os.environ.get("FSDP_STATE_DICT_TYPE", default)
    if kind.upper() not in {"FULL_STATE_DICT", "1"}:
        whose = "" if "FSDP_STATE_DICT_TYPE" in os.environ else f", accelerate's default for fsdp_version {version},"
        raise W2SError(
            f"fsdp_state_dict_type {kind}{whose} would save pieces instead of a model; write fsdp_state_dict_type: "
            "FULL_STATE_DICT under fsdp_config in the launch's configuration, as accelerate_configs/fsdp2.yaml does"
        )


T = TypeVar("T")

#: Seconds that a collective operation may take where training.ddp_timeout says nothing: transformers' own.
TIMEOUT_S = 1800.0


class World:
    """Rank, size, and the few things processes must agree on."""

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))

    @property
    def main(self) -> bool:
        """True in the process that writes."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """True where this process holds the whole of every model, and nobody else trains it."""
        return self.size == 1 and division() is None

    def expect(self, processes: int | None) -> None:
        """Refuse a launch of another size than the recipe says: some launchers silently start one process."""
        if processes is not None and processes != self.size:
            raise W2SError(
                f"the recipe expects {processes} processes but {self.size} run; for several CPU processes launch with "
                "accelerate_configs/ddp.yaml (--multi_gpu), not with --cpu"
            )

    def form(self, timeout: float = TIMEOUT_S) -> None:
        """Join the process group (does nothing alone, or the second time).

        Args:
            timeout: seconds that a collective operation may take before it ends with an error.

        Raises:
            W2SError: this machine cannot divide models as the launch says, or fewer processes met than were launched.
        """
        if not self.alone:
            refuse_impossible()
        if self.size == 1:
            return
        if division() == "deepspeed":
            _compile_nothing()
        from accelerate import PartialState
        from torch import distributed

        if not distributed.is_initialized():
            where = {"cpu": not _accelerator()} if division() is None or _accelerator() else {"backend": "gloo"}
            PartialState(**where, timeout=timedelta(seconds=timeout))
        if PartialState().num_processes != self.size:
            raise W2SError(f"{self.size} processes were launched, but accelerate formed {PartialState().num_processes}")
        heartbeat.begin(self.rank, self.size, timeout)

    def broadcast(self, value: T) -> T:
        """The main process's value, everywhere."""
        if self.size == 1:
            return value
        from accelerate.utils import broadcast_object_list

        self.form()
        box = [value]
        broadcast_object_list(box)
        return box[0]

    def gather(self, value: T) -> list[T]:
        """Every process's value, in rank order, everywhere."""
        if self.size == 1:
            return [value]
        from accelerate.utils import gather_object

        self.form()
        return list(gather_object([value]))

    def on_main(self, work: Callable[[], T]) -> T | None:
        """Run ``work`` in the main process; if it fails there, every process fails with the same sentence."""
        result: T | None = None
        failure: Exception | None = None
        if self.main:
            try:
                result = work()
            except Exception as error:
                failure = error
        message = self.broadcast(None if failure is None else f"{type(failure).__name__}: {failure}")
        if failure is not None:
            raise failure
        if message is not None:
            raise W2SError(message)
        return result

    def barrier(self) -> None:
        """Wait for everybody."""
        if self.size > 1:
            self.broadcast(None)


def _compile_nothing() -> None:
    """On CPUs DeepSpeed would build a kernel, minutes with a C++ compiler, that only its inference calls."""
    from deepspeed import ops

    ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _accelerator() -> bool:
    import torch

    return torch.cuda.is_available()


def environment(world: World) -> dict[str, Any]:
    """Versions and machine, for provenance. Reads package metadata; imports nothing heavy."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for package in ("w2s-pref", "torch", "trl", "transformers", "accelerate", "peft", "datasets", "numpy", "scipy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    machine = {"system": platform.system(), "processor": platform.machine(), "cores": str(os.cpu_count())}
    return {"versions": versions, "machine": machine, "world_size": world.size}
