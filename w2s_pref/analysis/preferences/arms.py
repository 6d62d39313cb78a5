"""One arm of a study: its supervision steps, and every final student beside its ceilings and references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from w2s_pref import results
from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.deception.deception import code, gate_numbers
from w2s_pref.analysis.deception.gates import Gates
from w2s_pref.analysis.deception.measures import Evidence, Measured, Roles
from w2s_pref.analysis.deception.regions import region_counts
from w2s_pref.analysis.deception.sensitivity import sensitivity
from w2s_pref.analysis.deception.sentences import NEVER_RIGHT, no_score
from w2s_pref.analysis.deception.sentences import verdict as deception_verdict
from w2s_pref.analysis.preferences.design import ArmDesign, Context
from w2s_pref.analysis.preferences.generalization_measures import Recovered, agreement, inheritance, recovered
from w2s_pref.analysis.scores.panel import items_of
from w2s_pref.analysis.stats.basics import credit, expected, number
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.core.errors import W2SError
from w2s_pref.results.deception import KnownRule, Reference


@dataclass(frozen=True)
class Judged:
    """What stands behind one student's verdict against one reference under one rule of knowing.

    Only under the study's own rule is there ``evidence``.
    """

    measured: Measured
    evidence: Evidence | None
    gates: Gates


@dataclass(frozen=True)
class Student:
    """A measured student: the entry of ``results.json`` and the statistics other parts combine.

    Attributes:
        pgr: gap recovered, with the reason where there is none.
        deception: measures and gates by (reference, rule).
        roles: names in the score table by reference.
    """

    arm: ArmDesign
    conflict: str
    setting: results.Setting
    accuracy: Stat
    conflict_accuracy: Stat | None
    pgr: Recovered
    deception: dict[tuple[Reference, KnownRule], Judged]
    roles: dict[Reference, Roles]

    def main(self, rule: KnownRule) -> Judged | None:
        """What stands for this student: against the student without conflict, else against the ceiling."""
        return self.deception.get(("w2s", rule)) or self.deception.get(("ceiling", rule))


def model_performance(context: Context, model: str) -> results.Performance:
    """Performance of any model of the study."""
    conflict, calibrated = context.conflict_accuracy(model), context.calibration(model)
    return results.Performance(
        accuracy=estimate(context.accuracy(model)),
        conflict_accuracy=None if conflict is None else estimate(conflict),
        calibration=results.Calibration(
            ece=estimate(calibrated.ece), brier=estimate(calibrated.brier), reliability=calibrated.bins
        ),
    )


def measure_student(context: Context, arm: ArmDesign, conflict: str) -> Student:
    """Everything about ``<arm>/<conflict>``. Agreement is with the model that labelled the student's pairs."""
    model = f"{arm.name}/{conflict}"
    own, teacher = context.credit(model), context.credit(arm.supervisor)
    pgr = recovered(context.expected(arm.weak), context.expected(model), context.expected(arm.strong), context.draw)
    same = agreement(teacher, own, context.draw)
    errors = inheritance(teacher, own, context.draw)
    roles = _roles(context, arm, conflict)
    # The study's own rule first: readers take the first entry as the headline.
    rules: list[KnownRule] = sorted(get_args(KnownRule), key=lambda rule: rule != context.design.known_rule)
    found = {(reference, rule): _judge(context, arm, role, rule) for reference, role in roles.items() for rule in rules}
    setting = results.Setting(
        conflict=conflict,
        model=model,
        performance=model_performance(context, model),
        pgr=estimate(pgr.stat, note=pgr.note),
        pgr_raw=number(pgr.stat.value),
        agreement=results.Agreement(**{k: estimate(v, "No such items.") for k, v in same.items()}),
        inheritance=results.Inheritance(**{k: estimate(v, "No such items.") for k, v in errors.items()}),
        deception=[_entry(context, roles[reference], reference, rule, m) for (reference, rule), m in found.items()],
    )
    if conflict != "none":
        main = setting.deception[0]
        judged = found[main.reference, main.known_rule]
        assert judged.evidence is not None  # the first entry is under the study's own rule
        bins = context.options(main.known_rule).bins
        seen = sensitivity(judged.evidence, context.draw, bins, context.design.seed)
        main.sensitivity = seen
        main.verdict = deception_verdict(judged.measured, judged.gates, seen)
    accuracy, other = context.accuracy(model), context.conflict_accuracy(model)
    return Student(arm, conflict, setting, accuracy, other, pgr, found, roles)


def _judge(context: Context, arm: ArmDesign, roles: Roles, rule: KnownRule) -> Judged:
    """Under the study's own rule; the other rule gets the margin gate alone, beside which nothing is decided."""
    options = context.options(rule)
    measured = measures.measure(context.target, roles, context.draw, options)
    lift = measured.stats["lift_smooth"]
    if rule != context.design.known_rule:
        return Judged(measured, None, Gates(lift, None, unasked="Asked under the study's own rule only."))
    evidence = measures.evidence(context.target, roles, measured, options, context.design.placebo_of(arm))
    return Judged(measured, evidence, evidence.gates(context.draw, options.bins, lift))


def _roles(context: Context, arm: ArmDesign, conflict: str) -> dict[Reference, Roles]:
    """References of a student: both for a conflict, the ceiling alone for the student without."""
    model, plain = f"{arm.name}/{conflict}", f"{arm.name}/none"
    roles: dict[Reference, Roles] = {}
    if conflict != "none" and plain in context.target.delta:
        roles["w2s"] = Roles(arm.weak, arm.strong, plain, model)
    roles["ceiling"] = Roles(arm.weak, arm.strong, arm.strong, model)
    return roles


def _entry(context: Context, roles: Roles, reference: Reference, rule: KnownRule, judged: Judged) -> results.Deception:
    measured, gates = judged.measured, judged.gates
    options, stats = context.options(rule), measured.stats
    return results.Deception(
        reference=reference,
        known_rule=rule,
        threshold=options.threshold,
        n=context.target.size * len(context.target.seeds),
        tax=measured.tax,
        cells=region_counts(measured.parts),
        score=estimate(stats["score"], no_score(measured)),
        null_share=estimate(stats["null_share"], NEVER_RIGHT),
        risk_ratio=estimate(stats["risk_ratio"], "Undefined: nothing flips outside the cell, or a part is empty."),
        lift=estimate(stats["lift"], "Undefined: no flips are expected of the cell."),
        lift_dropped=measured.dropped,
        lift_smooth=estimate(stats["lift_smooth"], "Undefined: less than one flip is expected of the cell."),
        permutation_p=measures.permutation(measured, context.draw, options),
        sweep=measures.sweep(context.target, roles, measured, context.draw, options),
        regression=measures.regression(context.target, roles, measured, context.draw),
        verdict=deception_verdict(measured, gates),
        verdict_code=code(measured, gates),
        gates=gate_numbers(gates),
        warnings=measures.warnings(measured),
    )


def arm_churn(context: Context, arm: ArmDesign) -> results.Churn | None:
    """DS and lift between no-conflict students of two seeds, in disjoint pairs; None where there are none."""
    plain = f"{arm.name}/none"
    if plain not in context.target.delta:
        return None
    roles = Roles(arm.weak, arm.strong, plain, plain)
    measured = measures.churn(context.target, roles, context.draw, context.options(context.design.known_rule))
    if measured is None:
        return None
    return results.Churn(
        score=estimate(measured.stats["score"], no_score(measured)),
        null_share=estimate(measured.stats["null_share"], NEVER_RIGHT),
        lift=estimate(measured.stats["lift"], "Undefined: no flips are expected of the cell."),
        lift_smooth=estimate(measured.stats["lift_smooth"], "Undefined: less than one flip is expected of the cell."),
        tax=measured.tax,
    )


def hops(context: Context, arm: ArmDesign, labels: pd.DataFrame) -> list[results.Hop]:
    """One entry for each hop of the chain; the last hop's accuracy is that of the student without conflict."""
    out = []
    last = len(arm.chain) - 1
    for k in range(1, last + 1):
        student = f"{arm.name}/hop{k}" if k < last else f"{arm.name}/none"
        accuracy = estimate(context.accuracy(student)) if student in context.target.delta else None
        rows = labels[labels["name"] == f"{arm.name}/hop{k}"]
        if rows.empty:
            raise W2SError(f"label table: no rows named '{arm.name}/hop{k}'; give the labels of every hop.")
        out.append(_hop(context, arm.chain[k - 1], arm.chain[k], rows, accuracy))
    return out


def _hop(
    context: Context, supervisor: str, student: str, rows: pd.DataFrame, accuracy: results.Estimate | None
) -> results.Hop:
    groups, there, p_true, keep, sure = label_arrays(rows)
    draw = Resampler(groups, context.design.resamples, context.design.seed)
    hit, brier = credit(p_true - 0.5), (1 - p_true) ** 2
    if sure is not None:
        hit, brier = expected(hit, sure), expected(brier, sure, p_true**2)
    return results.Hop(
        supervisor=supervisor,
        student=student,
        label_accuracy=estimate(draw.mean(hit, there)),
        label_brier=estimate(draw.mean(brier, there)),
        kept_share=estimate(draw.mean(keep, there)),
        kept_accuracy=estimate(draw.mean(hit, there * keep), "Undefined: no label was kept."),
        accuracy=accuracy,
    )


def rounds(context: Context, arm: ArmDesign) -> list[results.Round]:
    """One entry for each round, the first of which starts from round 0."""
    found, first = [], ""
    for model, place in arm.rounds.items():
        first = first if place else model
        gain = estimate(context.accuracy(model) - context.accuracy(first)) if place else None
        found.append(results.Round(model=model, number=place, accuracy=estimate(context.accuracy(model)), gain=gain))
    return found


def label_arrays(rows: pd.DataFrame) -> tuple[Ints, Floats, Floats, Floats, Floats | None]:
    """Group codes (N,) and, each (K, N): which labels exist, p_true, keep (0 where there is none) and ``sure``."""
    ids, groups = items_of(rows)
    seeds = np.unique(rows["seed"].to_numpy())
    line = np.searchsorted(seeds, rows["seed"].to_numpy())
    place = pd.Index(ids).get_indexer(pd.Index(rows["id"]))
    shape = (len(seeds), len(ids))
    there, p_true, keep = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    there[line, place] = 1.0
    p_true[line, place] = rows["p_true"].to_numpy(dtype=np.float64)
    keep[line, place] = rows["keep"].to_numpy(dtype=np.float64)
    sure = None
    if "sure" in rows:
        sure = np.ones(shape)
        sure[line, place] = rows["sure"].to_numpy(dtype=np.float64)
    return groups, there, p_true, keep, sure
