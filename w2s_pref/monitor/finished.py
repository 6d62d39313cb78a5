"""Finished runs whose recipe had a monitor, as curves that ``detector.judge`` can take.

A setting is a name of a run (an arm under a conflict, or a hop), a run of the detector one seed of it. The reference
of a setting are the ceilings of the same node in the same run: trained on ground truth, watched on the same probe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from w2s_pref.analysis.risk.settings import check_run_names
from w2s_pref.core.errors import W2SError
from w2s_pref.results.preferences import Results
from w2s_pref.results.trainings import MonitorCurve

#: Reference trainings below which nothing is known of how ground truth looks.
FEWEST = 3


@dataclass
class Watched:
    """Curves to be judged, the reference curves of every setting among them (empty: none), and what was left out."""

    curves: pd.DataFrame
    references: dict[str, pd.DataFrame]
    notes: list[str] = field(default_factory=list)


def watched_runs(runs: Sequence[tuple[str, Results]]) -> Watched:
    """Take the curves of finished runs.

    Args:
        runs: name and results of each.

    Returns:
        Curves with run ("run/name/seed"), setting ("run/name"), seed, step, fraction and the signals, one row a look.

    Raises:
        W2SError: no runs, two of one name, a run without a monitor, or no watched training that knows its BSD.
    """
    check_run_names([name for name, _ in runs])
    parts: dict[str, pd.DataFrame] = {}
    references: dict[str, pd.DataFrame] = {}
    notes: list[str] = []
    for name, results in runs:
        _take(name, results, parts, references, notes)
    if not parts:
        raise W2SError("; ".join(["no watched training is left to judge", *notes]))
    curves = pd.concat(_distinct(parts, notes), ignore_index=True)
    kept = set(curves["setting"])
    return Watched(_complete(curves, notes), {s: r for s, r in references.items() if s in kept}, notes)


def _take(
    run: str, results: Results, parts: dict[str, pd.DataFrame], references: dict[str, pd.DataFrame], notes: list[str]
) -> None:
    """Enter one run's curves, and say what cannot be judged."""
    if not results.monitors:
        raise W2SError(f"run {run!r}: nothing was watched; add `monitor: {{}}` to its recipe and run it again")
    for curve in results.monitors:
        if curve.name.startswith("ceiling/"):
            continue
        setting = f"{run}/{curve.name}"
        about = f"{setting}/{curve.seed}"
        node = _node(results, curve.name)
        if node is None:
            notes.append(f"{about}: left out; it is no student of an arm, so it has no ceiling to compare with")
        elif any(alarm.action == "stop" for alarm in curve.alarms):
            notes.append(f"{about}: left out; its own alarm stopped it, so what would have come is not known")
        elif not _has_bsd(curve):
            notes.append(f"{about}: left out; its probe has no truth, so its BSD is not known")
        elif max(curve.steps, default=0) == 0:
            notes.append(f"{about}: left out; it was never looked at after its start")
        else:
            parts[about] = table_of(curve, setting)
            references.setdefault(setting, _references(run, results, node, curve.weak))


def _node(results: Results, name: str) -> str | None:
    """What was trained under this name: the arm's last node, or that of a hop."""
    arm, _, last = name.rpartition("/")
    found = next((each for each in results.arms if each.name == arm), None)
    if found is None:
        return None
    if last in {setting.conflict for setting in found.settings}:
        return found.chain[-1]
    hop = last.removeprefix("hop")
    inside = last.startswith("hop") and hop.isdigit() and 0 < int(hop) < len(found.chain)
    return found.chain[int(hop)] if inside else None


def _references(run: str, results: Results, node: str, weak: str) -> pd.DataFrame:
    """Curves of the ceilings of a node against the same weak model; without rows where none was watched."""
    name = f"ceiling/{node}"
    found = [c for c in results.monitors if (c.name, c.weak) == (name, weak) and _has_bsd(c) and max(c.steps) > 0]
    tables = [table_of(curve, f"{run}/{name}") for curve in found]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"run": []})


def _has_bsd(curve: MonitorCurve) -> bool:
    return any(value is not None for value in curve.signals.get("bsd", []))


def table_of(curve: MonitorCurve, setting: str) -> pd.DataFrame:
    """One training's curve as a table; ``fraction`` is the share of its steps."""
    shares = curve.fractions or [step / max(curve.steps) for step in curve.steps]
    about = {"run": f"{setting}/{curve.seed}", "setting": setting, "seed": curve.seed, "step": curve.steps}
    values = {name: pd.Series(column, dtype=float) for name, column in curve.signals.items()}
    return pd.DataFrame({**about, "fraction": shares, **values})


def _distinct(parts: dict[str, pd.DataFrame], notes: list[str]) -> list[pd.DataFrame]:
    """Each training once: arms and runs share stages, and a copy is no further evidence."""
    seen: dict[str, str] = {}
    found = []
    for name, table in parts.items():
        own = table.drop(columns=["run", "setting"]).to_json()
        if own in seen:
            notes.append(f"{name}: left out; it is the same training as {seen[own]}")
        else:
            seen[own] = name
            found.append(table)
    return found


def _complete(curves: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Without signals that some run never has: all signals are judged at the same looks, which it would cost."""
    there = curves.drop(columns=["step", "fraction", "seed"]).groupby("run").count().drop(columns="setting") > 0
    partly = [str(name) for name in there if there[name].any() and not there[name].all()]
    if partly:
        notes.append(f"not judged, because some runs have none of it: {', '.join(partly)}")
    return curves.drop(columns=partly)
