"""Costs as a table: one line for each kind of stage and model, and the sums below."""

from __future__ import annotations

from itertools import groupby
from math import log10
from typing import Any

from rich.console import Console
from rich.markup import escape

from w2s_pref.core.text_table import TextTable
from w2s_pref.planning.cost.estimate import Cost, Device, Estimator, totals

#: Columns; the first are words.
HEADS, NAMES = ("stages", "model", "", "tokens", "FLOPs", "memory", "storage", "time", "measured"), 2

#: Of thousands, millions, …
PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z")


def show_costs(estimator: Estimator, console: Console) -> None:
    """Print what every kind of stage costs with every model, and the totals."""
    costs = estimator.costs()
    where = estimator.sharding.name
    order = sorted(costs, key=lambda cost: (cost.kind, cost.model))
    groups = groupby(order, key=lambda cost: (cost.kind, cost.model))
    lines = [_line(kind, model, list(group)) for (kind, model), group in groups]
    table = TextTable(box=None, title=f"Cost on {where}")
    # No column of times where nothing was timed: the names get its room.
    filled = [at for at in range(len(HEADS)) if any(line[at] for line in lines)]
    for at in filled:
        table.add_column(HEADS[at], justify="left" if at < NAMES else "right")
    for line in lines:
        table.add_row(*(line[at] for at in filled))
    console.print(table)
    for sentence in sentences(totals(costs), estimator):
        console.print(escape(sentence), highlight=False)


def _line(kind: str, model: str, group: list[Cost]) -> list[str]:
    sums = totals(group)
    tokens = sums["trained_tokens"] + sums["scored_tokens"] + sums["generated_tokens"]
    measured = [cost.measured for cost in group if cost.measured is not None]
    timed = any(cost.seconds is not None for cost in group)
    return [
        kind,
        escape(model),
        f"{len(group):,}",
        scaled(tokens),
        scaled(sums["flops"]),
        scaled(sums["memory"], "B"),
        scaled(sums["storage"], "B"),
        duration(sums["seconds"]) if timed else "",
        duration(sum(measured)) if measured else "",
    ]


def sentences(sums: dict[str, Any], estimator: Estimator) -> list[str]:
    """The totals, what they rest on, and the error where stages were measured."""
    stored = "unknown size" if sums["storage"] is None else scaled(sums["storage"], "B") or "0 B"
    found = [
        f"{scaled(sums['flops']) or 0} FLOPs, {scaled(sums['trained_tokens']) or 0} tokens trained, "
        f"{scaled(sums['scored_tokens']) or 0} scored, {scaled(sums['generated_tokens']) or 0} generated; "
        f"{stored} of artifacts" + (f"; {scaled(sums['memory'], 'B')} a process at most" if sums["memory"] else "")
    ]
    if estimator.device is not None:
        found.append(_on_device(sums, estimator.device))
    elif estimator.calibrate:
        found.append(f"calibrated on this machine: about {duration(sums['seconds'])} for the stages that were timed")
    if sums["error"] is not None and estimator.device is None:
        found.append(
            f"{sums['compared_stages']} stages stand in the store: estimated {duration(sums['compared_estimate'])}, "
            f"measured {duration(sums['compared_measured'])}, error {sums['error']:+.0%}"
        )
    if estimator.assumed:
        found.append("data or tokenizer are not here: pairs are taken to be as long as HH-RLHF's")
    return found


def _on_device(sums: dict[str, Any], device: Device) -> str:
    hours = sums["seconds"] / 3600
    return (
        f"at {scaled(device.peak)} FLOP/s peak and an MFU of {device.mfu:g}: {hours:,.1f} device-hours "
        "(answers that are generated take longer: one token at a time reaches a far lower MFU)"
    )


def scaled(value: float | None, unit: str = "") -> str:
    """A number with three digits and a prefix: 1.23 G. Nothing for zero and for what is not known."""
    if not value:
        return ""
    steps = min(max(0, int(log10(value * 1.0005) // 3)), len(PREFIXES) - 1)
    value /= 1000**steps
    digits = f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return f"{digits} {PREFIXES[steps]}{unit}".rstrip()


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def costs_as_json(estimator: Estimator) -> dict[str, Any]:
    """Every stage and the totals, for programs."""
    costs = estimator.costs()
    stages = [{**cost.__dict__, "work": cost.work._asdict()} for cost in costs]
    return {"on": estimator.sharding.name, "stages": stages, "totals": totals(costs)}
