"""The verdict: the first thing a reader sees, as the analysis decided it, and what it rests on."""

from __future__ import annotations

from typing import Final

from w2s_pref.report.draw.blocks import Block, Facts, Points, Prose, Section, Warnings
from w2s_pref.report.draw.format import computing, count
from w2s_pref.report.readings import of_study
from w2s_pref.report.students import measured, students
from w2s_pref.results.preferences import Family, Results

#: Up to this many sentences stand as paragraphs; more become a list.
FEW: Final = 3
#: Up to this many are open; with many arms the rest folds away.
SHOWN: Final = 12


def section(results: Results) -> Section:
    """Headline, how to read intervals, sentences, warnings, and the frame of the study in a few facts."""
    sentences = results.verdict.sentences
    few = len(sentences) <= FEW
    blocks: list[Block] = [
        Prose([of_study(results)]),
        Points(sentences, SHOWN, where="terminal" if few else "both"),
        *([Prose(sentences, where="page")] if few else []),
        *([Prose(families(results))] if results.families else []),
    ]
    if results.warnings:
        blocks.append(Warnings(results.warnings, where="page"))
    blocks.append(Facts(facts(results), where="page"))
    return Section("verdict", results.verdict.headline, blocks, "Verdict")


def warnings(results: Results) -> Section | None:
    """The last thing the terminal says: warnings of the analysis, then those of single students."""
    found = list(results.warnings)
    for one in students(results):
        if one.deception is not None:
            found += [f"{one.arm}, {one.conflict}: {warning}" for warning in one.deception.warnings]
    blocks = [Warnings(list(dict.fromkeys(found)), where="terminal")]
    return Section("warnings", "Warnings", blocks) if found else None


def families(results: Results) -> list[str]:
    """How many verdicts of each family outlive the correction; nothing for older results."""
    if not results.families:
        return []
    counts = "; ".join(f"{one.name}: {_count(one)}" for one in results.families)
    return [f"Resolved after Holm's correction for the number of verdicts in each family (one-sided .025): {counts}."]


def _count(family: Family) -> str:
    return f"{family.resolved} of {family.members}" if family.members else "none could be tested"


def facts(results: Results) -> list[tuple[str, str]]:
    """What the verdict rests on: objectives, chains, seeds, time, and how "known" is meant."""
    objectives = [(f"Objective, {role}", name) for role, name in results.objectives.items()]
    chains = [(f"Arm, {arm.name}", " → ".join(arm.chain)) for arm in results.arms]
    seeds = ", ".join(map(str, results.seeds))
    if len(results.seeds) == 1:
        seeds += " (one seed; nothing here speaks of seed-to-seed variation)"
    sizes = sorted({entry.n for arm in results.arms for setting in arm.settings for entry in setting.deception})
    rest = [("Seeds", seeds)]
    if sizes:
        rest.append(("Rows per analysis (items × seeds)", ", ".join(count(size) for size in sizes)))
    known = "{rule} at least {thresholds}; tax is counted against the {reference}"
    rest.append(("Known", measured(results, known)))
    source = results.provenance
    rest.append(("Computing time", computing(source.seconds, source.processor_seconds)))
    return objectives + chains + [fact for fact in rest if fact[1]]
