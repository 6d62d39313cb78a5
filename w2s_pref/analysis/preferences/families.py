"""The families of verdicts of one study, each corrected for how many there are."""

from __future__ import annotations

from w2s_pref import results
from w2s_pref.analysis.preferences.arms import Judged, Student
from w2s_pref.analysis.preferences.design import CONTROLS, Design
from w2s_pref.analysis.stats.families import LEVEL, holm, moderate
from w2s_pref.results.deception import GATES

Students = dict[tuple[str, str], Student]


def tested(design: Design, students: Students) -> dict[tuple[str, str], Judged]:
    """The students whose verdict the headline counts: under a conflict, and measured."""
    found = {at: student.main(design.known_rule) for at, student in students.items() if at[1] not in CONTROLS}
    return {at: judged for at, judged in found.items() if judged is not None}


def correct(design: Design, students: Students) -> results.Family:
    """Write p and adjusted p of every student in the family of "selective" into its entry.

    A student's p is the largest of its gates'; one without all three gates is not in the family. Seed variances of each
    gate are shrunk over the family where it has four members.
    """
    tried = {at: judged.gates for at, judged in tested(design, students).items() if judged.gates.p() is not None}
    members, gates = list(tried), list(tried.values())
    shrunk = {name: moderate([stat for each in gates if (stat := each.stats[name]) is not None]) for name in GATES}
    raw = []
    for place, each in enumerate(gates):
        raw.append(each.p({name: found[place] for name, found in shrunk.items() if found is not None}))
    adjusted = holm(raw)
    for at, p, q in zip(members, raw, adjusted, strict=True):
        entry = students[at].setting.deception[0]
        entry.p, entry.p_adjusted = p, q
    entries = [students[at].setting.deception[0] for at in members]
    kept = sum(each.verdict_code == "selective" and (each.p_adjusted or 0.0) <= LEVEL for each in entries)
    moderated = any(found is not None for found in shrunk.values())
    return results.Family(name="selective students", members=len(members), resolved=kept, moderated=moderated)


def signals(found: results.Predictors) -> list[results.Family]:
    """The signals of the predictor study, raw and calibrated; its p values are two-sided, of which half counts."""
    kinds = {kind: [getattr(signal, kind).p_holm for signal in found.signals] for kind in ("raw", "calibrated")}
    return [family(f"signals of BSD, {kind}", [p and p / 2 for p in values]) for kind, values in kinds.items()]


def family(name: str, p: list[float | None]) -> results.Family:
    """The counts of a family from its adjusted p values."""
    there = [each for each in p if each is not None]
    return results.Family(name=name, members=len(there), resolved=sum(each <= LEVEL for each in there))
