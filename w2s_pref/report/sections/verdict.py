"""The verdict: the first thing a reader sees, as the analysis decided it, and what it rests on."""

from __future__ import annotations

from typing import Final

from w2s_pref.report.draw.blocks import Block, Facts, Points, Prose, Section, Warnings
from w2s_pref.report.draw.format import count, duration, plain
from w2s_pref.report.rows import REFERENCE_WORDS, RULE_WORDS, headline
from w2s_pref.results.preferences import Results

#: Up to this many sentences stand as paragraphs; more become a list.
FEW: Final = 3
#: Up to this many are open; with many arms the rest folds away.
SHOWN: Final = 12


def section(results: Results) -> Section:
    """Headline, sentences, warnings, and the frame of the study in a few facts."""
    sentences = [plain(sentence) for sentence in results.verdict.sentences]
    blocks: list[Block] = [Prose(sentences) if len(sentences) <= FEW else Points(sentences, shown=SHOWN)]
    if results.warnings:
        blocks.append(Warnings([plain(warning) for warning in results.warnings]))
    blocks.append(Facts(facts(results)))
    return Section("verdict", plain(results.verdict.headline), blocks, "Verdict")


def facts(results: Results) -> list[tuple[str, str]]:
    """What the verdict rests on: objectives, chains, seeds, time, and how "known" is meant."""
    objectives = [(f"Objective, {plain(role)}", plain(name)) for role, name in results.objectives.items()]
    chains = [(f"Arm, {plain(arm.name)}", " → ".join(plain(name) for name in arm.chain)) for arm in results.arms]
    seeds = ", ".join(str(seed) for seed in results.seeds)
    many = "one seed; nothing here speaks of seed-to-seed variation" if len(results.seeds) == 1 else "seeds"
    sizes = sorted({entry.n for arm in results.arms for setting in arm.settings for entry in setting.deception})
    rest = [("Seeds", f"{seeds} ({many})" if len(results.seeds) == 1 else seeds)]
    if sizes:
        rest.append(("Rows per analysis (items × seeds)", ", ".join(count(size) for size in sizes)))
    rest.append(("Known", known(results)))
    rest.append(("Computing time", duration(results.provenance.seconds)))
    return objectives + chains + [fact for fact in rest if fact[1]]


def known(results: Results) -> str:
    """The rule of knowing and the reference of the main tables."""
    combination = headline(results)
    if combination is None:
        return ""
    reference, rule = combination
    thresholds = sorted({e.threshold for a in results.arms for s in a.settings for e in s.deception})
    words = ", ".join(f"{threshold:g}" for threshold in thresholds)
    return f"{RULE_WORDS[rule]} at least {words}; tax is counted against the {REFERENCE_WORDS[reference]}"
