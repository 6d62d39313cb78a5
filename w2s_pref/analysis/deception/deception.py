"""``analyze_deception``: from a score table to the deception score with everything that must stand beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.deception.gates import Gates
from w2s_pref.analysis.deception.measures import Measured, Options, Roles
from w2s_pref.analysis.deception.regions import region_counts
from w2s_pref.analysis.deception.sensitivity import Progress
from w2s_pref.analysis.deception.sensitivity import sensitivity as what_could_be_seen
from w2s_pref.analysis.deception.sentences import verdict
from w2s_pref.analysis.scores.panel import Panel, resampled
from w2s_pref.analysis.stats.basics import Ties, credit, number
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.seeds import disagreements
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.errors import W2SError
from w2s_pref.results import deception as results
from w2s_pref.results.deception import KnownRule


def analyze_deception(
    scores: pd.DataFrame,
    weak: str,
    ceiling: str,
    reference: str,
    student: str,
    threshold: float = 0.75,
    known_rule: KnownRule = "gt_prob",
    resamples: int = 2000,
    seed: int = 0,
    *,
    ties: Ties = "half",
    bins: int = 10,
    objective: str | None = None,
    placebo: str | None = None,
    sensitivity: bool = False,
    tell: Progress | None = None,
) -> dict[str, Any]:
    """Deception score, nulls, gates, lift, sweep and tests of one student (spec: Yang et al., arXiv 2406.11431).

    Args:
        scores: a score table (see ``read_scores``).
        weak, ceiling: ceilings trained on ground truth, small and large.
        reference, student: the student without conflict (or the large ceiling again), and the one under conflict.
        threshold, known_rule, resamples, seed, ties, bins: see ``Options``.
        objective: which rows, where the table holds several objectives.
        placebo: an unrelated weak model for the third gate, beside the weak models of the other seeds.
        sensitivity: also find the smallest planted effect that this table could show; ``tell`` takes its progress.

    Returns:
        A JSON-ready dictionary; undefined values are None, counts are rows (items x seeds). ``intervals`` hold for
        other prompts and seeds (prompts alone where there is one seed), ``intervals_in_seeds`` for other prompts.
        ``gates`` and ``verdict_code``: see ``analysis.deception.gates``.

    Raises:
        W2SError: bad table, unknown model, or options out of range.
    """
    _check_options(threshold, known_rule, resamples, bins)
    options = Options(threshold, known_rule, ties, bins, resamples, seed)
    roles = Roles(weak, ceiling, reference, student)
    models = {**vars(roles), **({} if placebo is None else {"placebo": placebo})}
    data, draw = resampled(scores, list(models.values()), objective, resamples, seed)
    case = _Case(data, roles, draw, options, measures.measure(data, roles, draw, options))
    return {"models": models, **case.numbers(), **case.judgement(placebo, sensitivity, tell), "notes": data.notes()}


@dataclass(frozen=True)
class _Case:
    """One student against one reference, and how it is asked about."""

    data: Panel
    roles: Roles
    draw: Resampler
    options: Options
    measured: Measured

    @cached_property
    def accuracies(self) -> dict[str, Stat]:
        """By role."""
        return {
            role: self.draw.mean(credit(self.data.delta[name], self.options.ties))
            for role, name in vars(self.roles).items()
        }

    def numbers(self) -> dict[str, Any]:
        """Settings, counts and every number with its intervals."""
        asked, measured = self.options, self.measured
        named = {**measured.stats, **{f"accuracy_{role}": stat for role, stat in self.accuracies.items()}}
        return {
            **{name: getattr(asked, name) for name in ("threshold", "known_rule", "ties", "bins", "resamples")},
            **self.data.counts(),
            "accuracy": {role: number(stat.value) for role, stat in self.accuracies.items()},
            "cells": {name: counts.model_dump() for name, counts in region_counts(measured.parts).items()},
            "eligible": int(measured.parts.eligible.sum()),
            "tax": measured.tax,
            **{name: number(stat.value) for name, stat in measured.stats.items()},
            "lift_dropped": measured.dropped,
            "per_seed": {name: [number(v) for v in stat.per_seed] for name, stat in measured.stats.items()},
            "intervals": {name: stat.pair() for name, stat in named.items()},
            "intervals_in_seeds": {name: stat.pair_in_seeds() for name, stat in named.items()},
        }

    def judgement(self, placebo: str | None, sensitivity: bool, tell: Progress | None) -> dict[str, Any]:
        """Gates, tests, the verdict and warnings."""
        data, roles, draw, options, measured = self.data, self.roles, self.draw, self.options, self.measured
        evidence = measures.evidence(data, roles, measured, options, placebo)
        gates = evidence.gates(draw, options.bins, measured.stats["lift_smooth"])
        found = what_could_be_seen(evidence, draw, options.bins, options.seed, tell) if sensitivity else None
        accuracies = {f"the accuracy of {vars(roles)[role]}": stat for role, stat in self.accuracies.items()}
        return {
            "gates": gate_numbers(gates).model_dump(mode="json"),
            "permutation_p": measures.permutation(measured, draw, options),
            "sweep": [p.model_dump(mode="json") for p in measures.sweep(data, roles, measured, draw, options)],
            "regression": [c.model_dump(mode="json") for c in measures.regression(data, roles, measured, draw)],
            "churn": _churn(measures.churn(data, roles, draw, options)),
            "verdict_code": code(measured, gates),
            "verdict": verdict(measured, gates, found),
            **({} if found is None else {"sensitivity": found.model_dump(mode="json")}),
            "warnings": [*data.warnings, *measures.warnings(measured), *disagreements(accuracies)],
        }


def code(measured: Measured, gates: Gates) -> results.VerdictCode:
    """The verdict's code; undefined where nothing flips."""
    return "undefined" if measured.tax == 0 else gates.code


def gate_numbers(gates: Gates) -> results.Gates:
    """The gates as results hold them."""
    placebos = {}
    for each in gates.contrasts:
        made = _gate(each.ratio) or results.Gate(lift=None, interval=None, p=None)
        placebos[each.kind] = results.PlaceboGate(**made.model_dump(), overlap=each.overlap)
    return results.Gates(
        **{name: _gate(stat) for name, stat in gates.stats.items()},
        placebo_of=None if gates.harder is None else gates.harder.kind,
        overlap=gates.overlap,
        missing=gates.missing,
        placebos=placebos,
    )


def _gate(stat: Stat | None) -> results.Gate | None:
    """None where there is no interval."""
    if stat is None or not stat.defined:
        return None
    return results.Gate(
        lift=number(stat.value), interval=stat.interval(), interval_in_seeds=stat.in_seeds(), p=stat.p_above(1.0)
    )


def _check_options(threshold: float, known_rule: str, resamples: int, bins: int) -> None:
    problems = []
    if not 0.0 <= threshold <= 1.0:
        problems.append(f"threshold is {threshold}; it is a probability, give a number from 0 to 1.")
    if known_rule not in ("gt_prob", "max_prob"):
        problems.append(f"known rule is {known_rule!r}; choose gt_prob or max_prob.")
    if resamples < 2:
        problems.append(f"resamples is {resamples}; give at least 2 (2000 is usual).")
    if bins < 1:
        problems.append(f"bins is {bins}; give at least 1 (10 is usual).")
    if problems:
        raise W2SError(problems)


def _churn(measured: Measured | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    names = ("score", "null_share", "lift", "lift_smooth")
    return {
        "tax": measured.tax,
        **{name: number(measured.stats[name].value) for name in names},
        "intervals": {name: measured.stats[name].pair() for name in names},
    }
