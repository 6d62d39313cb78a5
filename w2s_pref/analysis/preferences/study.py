"""``summarize``: everything ``results.json`` says about a study, as a pure function of its score and label tables.

The long score table holds these models: ``ceiling/<node>`` for every node of every chain, ``base/<strong>`` (optional),
``<arm>/hop<k>`` for the intermediate student of hop k = 1..len(chain)-2, ``<arm>/<conflict>`` for final students. Its
``objective`` is ``design.target`` or ``design.conflict``: the two test sets. The label table has ``id, group, name,
seed, p_true, keep``; ``name`` = ``<arm>/hop<k>``, k = 1..len(chain)-1: the labels hop k's student was trained on,
``p_true`` the probability they give to the ground-truth answer. Both tables have ``spread`` where several supervisors
are combined: the standard deviation of their probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref import results
from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.preferences import cases, compare, sentences
from w2s_pref.analysis.preferences.argument_effects import READ, argument_effects
from w2s_pref.analysis.preferences.arms import Student, arm_churn, hops, measure_student, model_performance, rounds
from w2s_pref.analysis.preferences.controls import controls
from w2s_pref.analysis.preferences.design import ArmDesign, Context, Design
from w2s_pref.analysis.preferences.disagreement import by_disagreement
from w2s_pref.analysis.preferences.families import correct, family, signals
from w2s_pref.analysis.preferences.length import length_matched
from w2s_pref.analysis.preferences.metrics import Functions, own_measures
from w2s_pref.analysis.preferences.parts import by_column
from w2s_pref.analysis.preferences.risk import StudyLogits, predictors, risks
from w2s_pref.analysis.preferences.speech import speech
from w2s_pref.analysis.scores.panel import Panel, panel
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.seeds import disagreements
from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError

__all__ = ["ArmDesign", "Design", "summarize"]


def summarize(
    scores: pd.DataFrame,
    labels: pd.DataFrame,
    pairs: pd.DataFrame,
    design: Design,
    judged: pd.DataFrame | None = None,
    anchors: pd.DataFrame | None = None,
    own: Functions | None = None,
    sure: Mapping[str, pd.Series[float]] | None = None,
    said_of: Mapping[str, Mapping[str, float]] | None = None,
) -> results.Body:
    """Analyse a whole study; the same tables in any row order give the same body.

    Args:
        scores, labels: the two tables, see above.
        pairs: target test pairs (``tables.PAIR_COLUMNS``), for texts and lengths of answers.
        design: arms, conflicts and how regions are cut.
        judged: samples of policies with their judges' values (``samples.JUDGED_COLUMNS``), if there are any.
        anchors: the judges' values of the test pairs' own answers (``samples.ANCHOR_COLUMNS``).
        own: metrics of the user's own by name.
        sure: objective -> by id, how probable it is that the answer called true is so (``tables.certainty``); without
            it, it is known. Accuracies, the gap recovered and calibration are then those to be expected; whatever asks
            whether a model is right on an item goes by the more probable answer.
        said_of: judge of arguments -> what its arguments are like (``results.ArgumentEffect.about``).

    Raises:
        W2SError: a model or seed the design asks for is not in the tables, or a design without arms or conflicts.
    """
    context = prepare(scores, design, sure or {})
    settings = [(arm, conflict) for arm in design.arms for conflict in design.conflicts]
    students = {(arm.name, conflict): measure_student(context, arm, conflict) for arm, conflict in settings}
    said = [] if judged is None else speech(context, judged, anchors)
    tested = _families(context, students, said)  # before the arms: it writes corrected p values into the students
    return results.Body(
        ceilings={name: model_performance(context, f"ceiling/{name}") for name in _members(design)},
        base=_base(context),
        arms=[_arm(context, arm, labels, students) for arm in design.arms],
        **tested,
        region_maps=cases.region_maps(context, students),
        suspicious=cases.suspicious(context, students, pairs),
        length_matched=length_matched(context, students, pairs),
        speech=said,
        metrics=own_measures(context, own or {}),
        supervisor_spread=by_disagreement(context, scores, labels),
        parts=by_column(context, pairs),
        argument_effects=argument_effects(context, said_of or {}),
        controls=controls(context, design.arms[0]),
        warnings=_warnings(context, students),
    )


def _families(context: Context, students: dict[tuple[str, str], Student], said: list[results.Speech]) -> dict[str, Any]:
    """What is tested many times over, corrected for it in families, and the verdict that follows."""
    design, laboratory = context.design, StudyLogits(context)
    comparisons = compare.comparisons(design, students)
    rungs = compare.ladder(design, students) if design.ladder else None
    families = [correct(design, students), family("paired comparisons", [each.p_adjusted for each in comparisons])]
    if rungs is not None:
        families.append(family("ladder slopes", [each.p_adjusted for each in rungs.slopes]))
    predicted = predictors(laboratory)
    if predicted is not None:
        families += signals(predicted)
    return {
        "comparisons": comparisons,
        "ladder": rungs,
        "risk": risks(laboratory),
        "predictors": predicted,
        "families": families,
        "verdict": sentences.verdict(design, students, comparisons, rungs, said),
    }


def _arm(
    context: Context, arm: ArmDesign, labels: pd.DataFrame, students: dict[tuple[str, str], Student]
) -> results.Arm:
    return results.Arm(
        name=arm.name,
        chain=list(arm.chain),
        hops=hops(context, arm, labels),
        settings=[students[arm.name, conflict].setting for conflict in context.design.conflicts],
        churn=arm_churn(context, arm),
        method=arm.method,
        supervision=arm.supervision,
        rounds=rounds(context, arm),
    )


def prepare(scores: pd.DataFrame, design: Design, sure: Mapping[str, pd.Series[float]] | None = None) -> Context:
    """Panels of both test sets, checked against the design, with their resamples."""
    if not design.arms or not design.conflicts:
        raise W2SError("the design has no arm or no conflict setting; give at least one of each.")
    _single(scores)
    names = _models(scores, design)
    target = panel(scores, names, design.target)
    wanted = sorted(design.seeds)
    if list(target.seeds) != wanted:
        raise W2SError(f"score table: it has seeds {list(target.seeds)} and the design {wanted}; use one list.")
    draw = Resampler(target.groups, design.resamples, design.seed)
    if design.conflict is None:
        return Context(design, target, draw, None, None, _sure(target, design.target, sure))
    scored = set(scores.loc[scores["objective"] == design.conflict, "model"].unique())
    other = panel(scores, [n for n in names if n in scored], design.conflict) if scored & set(names) else None
    other_draw = None if other is None else Resampler(other.groups, design.resamples, design.seed)
    unsure = None if other is None else _sure(other, design.conflict, sure)
    return Context(design, target, draw, other, other_draw, _sure(target, design.target, sure), unsure)


def _sure(data: Panel, objective: str, sure: Mapping[str, pd.Series[float]] | None) -> Floats | None:
    """(N,) how probable it is that the answer called true is so, in the order of a panel; None: it is known."""
    if sure is None or objective not in sure:
        return None
    return np.asarray(sure[objective].loc[list(data.ids)], dtype=np.float64)


def _single(scores: pd.DataFrame) -> None:
    """Refuse two rows for one item, model and seed: scores of two kinds would overwrite one another."""
    keys = [name for name in ("id", "model", "seed", "objective") if name in scores]
    twice = scores[scores.duplicated(keys)]
    if len(twice):
        row = twice.iloc[0]
        own = scores[scores["model"] == row["model"]]
        kinds = ", ".join(sorted(set(own["kind"]))) if "kind" in own else "unknown"
        raise W2SError(
            f"score table: model {row['model']!r} has two rows for id {row['id']!r} under seed {row['seed']} "
            f"(kinds: {kinds}); keep one kind of score a model."
        )


def _members(design: Design) -> list[str]:
    return list(dict.fromkeys(model for arm in design.arms for model in arm.chain))


def _models(scores: pd.DataFrame, design: Design) -> list[str]:
    """Names the design asks for, and the optional ones the table has."""
    names = [f"ceiling/{name}" for name in _members(design)]
    for arm in design.arms:
        names += [f"{arm.name}/hop{k}" for k in range(1, len(arm.chain) - 1)]
        names += [f"{arm.name}/{conflict}" for conflict in design.conflicts]
        names += arm.rounds
    there = set(scores["model"].unique())
    names += design.placebos
    names += [about[read] for about in design.judges.values() for read in READ if read in about]
    optional = [f"base/{arm.chain[-1]}" for arm in design.arms] + [f"{arm.name}/none" for arm in design.arms]
    return list(dict.fromkeys(names + [name for name in optional if name in there]))


def _base(context: Context) -> results.Performance | None:
    names = [f"base/{arm.chain[-1]}" for arm in context.design.arms]
    there = [name for name in names if name in context.target.delta]
    return model_performance(context, there[0]) if there else None


def _warnings(context: Context, students: dict[tuple[str, str], Student]) -> list[str]:
    found = context.target.warnings + context.target.notes()
    if context.sure is not None:
        found.append(
            f"The ground truth of {int((context.sure < 1).sum())} of {context.target.size} test items is a probability "
            f"({int((context.sure == 0.5).sum())} are ties): accuracies, PGR and calibration are those to be expected; "
            "regions, flips, deception, risk and what policies say go by the more probable answer."
        )
    if context.other is not None:
        found += context.other.warnings
    for name in _members(context.design):
        found += disagreements({f"the accuracy of ceiling {name}": context.accuracy(f"ceiling/{name}")})
    for (arm, conflict), student in students.items():
        accuracies = {"accuracy": student.accuracy, "conflict accuracy": student.conflict_accuracy}
        named = {f"the {what} of {arm}, {conflict}": stat for what, stat in accuracies.items() if stat is not None}
        found += disagreements(named)
        measured = student.main(context.design.known_rule)
        if conflict != "none" and measured is not None:
            found += [f"{arm}, {conflict}: {line}" for line in measures.warnings(measured.measured)]
    return list(dict.fromkeys(found))
