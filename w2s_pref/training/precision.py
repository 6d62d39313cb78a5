"""``bf16: auto``: whether this machine multiplies matrices faster in bfloat16, measured once and remembered."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, Final, NamedTuple

from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import own_name
from w2s_pref.core.paths import cache_root

#: Tokens, and both sides of the weight, of the product that is measured: a layer of a model of 100 million parameters.
SHAPE: Final = (512, 1024, 1024)
ROUNDS: Final = 7
#: So many times as fast a bfloat16 product must be. About half of a step is products, and the rest has to pay for the
#: conversions; less would buy rounding for nothing.
FASTER: Final = 1.5
#: Keys of a recipe that hold arguments of a trainer.
HOLDERS: Final = ("training", "sft", "negative")


class Timings(NamedTuple):
    """Median seconds of one product, weights in float32: computed in it, and in bfloat16, conversions included."""

    device: str
    float32: float
    bfloat16: float

    @property
    def bf16(self) -> bool:
        """Whether bfloat16 pays."""
        return self.bfloat16 * FASTER <= self.float32

    def __str__(self) -> str:
        rows, inner, outer = SHAPE
        chosen = str(self.bf16).lower()
        return (
            f"bf16: auto is {chosen} on {self.device}: a product of {rows} x {inner} and {inner} x {outer} takes "
            f"{1e3 * self.float32:.3g} ms in float32 and {1e3 * self.bfloat16:.3g} ms in bfloat16 (true from "
            f"{FASTER:g} times as fast on); another machine may choose otherwise and then builds other stages: write "
            f"bf16: {chosen} to keep this"
        )


def resolved(raw: Mapping[str, Any], probe: Callable[[], Timings] | None = None) -> tuple[dict[str, Any], list[str]]:
    """A recipe's keys with every ``bf16: auto`` of a trainer's arguments made true or false, and what to say of it.

    Stage keys hold the value, as if it had been written.

    Raises:
        W2SError: processes on several machines would have to agree, or fp16 stands beside it.
    """
    holders = list(_asking(raw))
    if not holders:
        return dict(raw), []
    if any(holder.get("fp16") for holder in holders):
        raise W2SError("bf16: auto stands beside fp16: true; take one of them")
    if int(os.environ.get("WORLD_SIZE", "1")) > int(os.environ.get("LOCAL_WORLD_SIZE", "1")):
        raise W2SError("bf16: auto is not for a launch over several machines, which may differ; write true or false")
    measured = (probe or remembered)()
    return dict(_with(raw, measured.bf16)), [str(measured)]


def _asking(value: Any, inside: bool = False) -> list[Mapping[str, Any]]:
    """Every mapping of trainer arguments that says ``bf16: auto``."""
    if isinstance(value, list):
        return [each for part in value for each in _asking(part)]
    if not isinstance(value, Mapping):
        return []
    found = [value] if inside and value.get("bf16") == "auto" else []
    return found + [each for key, part in value.items() for each in _asking(part, key in HOLDERS)]


def _with(value: Any, bf16: bool, inside: bool = False) -> Any:
    if isinstance(value, list):
        return [_with(part, bf16) for part in value]
    if not isinstance(value, Mapping):
        return value
    asked = inside and value.get("bf16") == "auto"
    found = {key: _with(part, bf16, key in HOLDERS) for key, part in value.items()}
    return found | {"bf16": bf16} if asked else found


def remembered() -> Timings:
    """What this machine measured first: a plan, a run, its workers and the next run must not choose otherwise."""
    import torch

    from w2s_pref.models.load import device

    place = device()
    name = torch.cuda.get_device_name(place) if place.startswith("cuda") else "its processor"
    file = cache_root() / "bf16" / f"{platform.node()} {name} torch {torch.__version__}.json".replace("/", "-")
    if not file.is_file():
        measured = measure(place, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        written = file.with_name(own_name(file.name))
        written.write_text(json.dumps(measured._asdict()), encoding="utf-8")
        try:
            os.link(written, file)  # the first of several processes decides for all
        except OSError:
            if not file.is_file():
                written.replace(file)
        written.unlink(missing_ok=True)
    return Timings(**json.loads(file.read_text(encoding="utf-8")))


def measure(place: str, name: str) -> Timings:
    """Multiply on a device, in turn in float32 and under autocast to bfloat16."""
    import torch

    rows, inner, outer = SHAPE
    x, weight = torch.ones(rows, inner, device=place), torch.ones(outer, inner, device=place)
    taken: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * (ROUNDS + 1)):
        half = number % 2 == 1
        started = _clock(place)
        with torch.no_grad(), torch.autocast(place.partition(":")[0], torch.bfloat16, enabled=half):
            torch.nn.functional.linear(x, weight)
        taken[half].append(_clock(place) - started)
    return Timings(f"{platform.node()} ({name})", *(median(taken[half][1:]) for half in (False, True)))


def _clock(place: str) -> float:
    import torch

    if place.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()
