"""How a launch spreads a model over its processes: what an accelerate configuration says about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from w2s_pref.core.errors import W2SError


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
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise W2SError(f"{file}: cannot be read as an accelerate configuration ({error})") from error
    if not isinstance(given, dict) or "distributed_type" not in given:
        raise W2SError(f"{file}: has no distributed_type, so it is no accelerate configuration")
    kind, count = str(given["distributed_type"]), processes or int(given.get("num_processes") or 1)
    return Sharding(count, _stage(kind, given), f"{file.stem} × {count}")


def _stage(kind: str, given: dict[str, Any]) -> int:
    if kind == "FSDP":
        return 3
    if kind == "DEEPSPEED":
        return int((given.get("deepspeed_config") or {}).get("zero_stage", 2))
    return 0
