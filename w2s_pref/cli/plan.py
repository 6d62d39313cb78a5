"""``w2s plan``: what a run would do, what it would cost, and what its study could see. Loads no weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from w2s_pref.cli.output import JsonOut, Overrides, RecipeFile, console, path, write_json
from w2s_pref.core.errors import W2SError

if TYPE_CHECKING:
    from w2s_pref.planning.cost.memory import Sharding
    from w2s_pref.studies.kind import AnyOpened

#: Where nothing else is said: the share of a device's peak that is reached, and of right answers that conflict flips.
MFU, FLIPS = 0.4, 0.1


def plan(
    recipe: RecipeFile,
    overrides: Overrides = None,
    every: Annotated[bool, typer.Option("--all", help="list every stage, not the summary")] = False,
    missing: Annotated[bool, typer.Option(help="list the stages that are not in the store")] = False,
    cost: Annotated[bool, typer.Option(help="tokens, FLOPs, memory and storage of all stages instead")] = False,
    calibrate: Annotated[bool, typer.Option(help="with cost: time this machine on the recipe's models")] = False,
    tflops: Annotated[float | None, typer.Option(help="with cost: peak TFLOP/s of a device to estimate for")] = None,
    mfu: Annotated[
        float | None,
        typer.Option(min=0.01, max=1, help="with tflops: share of that peak which is reached; default 0.4"),
    ] = None,
    accelerate: Annotated[
        Path | None, typer.Option(parser=path, help="with cost: accelerate configuration of the launch")
    ] = None,
    num_processes: Annotated[int | None, typer.Option(min=1, help="instead of that configuration's own")] = None,
    power: Annotated[
        bool, typer.Option("--power", help="what the study could see, before anything is trained")
    ] = False,
    flip_rate: Annotated[
        float | None,
        typer.Option(help="with power: share of the right answers that conflict flips; default 0.1"),
    ] = None,
    json_file: JsonOut = None,
) -> None:
    """Say what a run would do (--all: stage by stage), and every configuration and data error. Loads no weights."""
    from w2s_pref.planning.plan import as_json, open_for_plan, show_plan

    _refuse_unread(cost, calibrate, (tflops, mfu, accelerate, num_processes))
    if mfu is not None and tflops is None:
        raise W2SError("--mfu is a share of --tflops; give that too.")
    if flip_rate is not None and not power:
        raise W2SError("--flip-rate belongs to --power.")
    opened = open_for_plan(recipe, overrides or [])
    told: dict[str, Any] = {}
    if cost:
        from w2s_pref.planning.cost.memory import Sharding, read_sharding

        sharding = Sharding(num_processes or 1) if accelerate is None else read_sharding(accelerate, num_processes)
        told |= _cost(opened, sharding, calibrate, None if tflops is None else (tflops, mfu or MFU))
    if power:
        told |= _power(recipe, opened, FLIPS if flip_rate is None else flip_rate)
    if not (cost or power):
        show_plan(opened, console(), every, missing)
    write_json(json_file, lambda: told or as_json(opened))


def _refuse_unread(cost: bool, calibrate: bool, given: tuple[object, ...]) -> None:
    """Raise for options that nothing would read."""
    if not cost and (calibrate or any(value is not None for value in given)):
        raise W2SError("--calibrate, --tflops, --mfu, --accelerate and --num-processes belong to --cost.")


def _power(recipe: Path, opened: AnyOpened, flip_rate: float) -> dict[str, Any]:
    """Print what the study could see; returns it."""
    from dataclasses import asdict

    from w2s_pref.organisms.planned import planned_power, power_table

    if opened.kind.tested is None:
        raise W2SError(f"{recipe}: --power is for studies of preferences, and this one is of kind {opened.kind.name}.")
    found = planned_power(*opened.kind.tested(opened), flip_rate)
    console().print(*power_table(found), sep="\n")
    return {**asdict(found), "curve": [point.model_dump() for point in found.curve]}


def _cost(opened: AnyOpened, sharding: Sharding, calibrate: bool, speed: tuple[float, float] | None) -> dict[str, Any]:
    """Print what it would cost; returns it. ``speed``: peak TFLOP/s of a device, and the share that is reached."""
    from w2s_pref.planning.cost.estimate import Device, Estimator
    from w2s_pref.planning.cost.table import costs_as_json, show_costs

    device = None if speed is None else Device(speed[0] * 1e12, speed[1])
    estimator = Estimator(opened, sharding, calibrate, device)
    show_costs(estimator, console())
    return costs_as_json(estimator)
