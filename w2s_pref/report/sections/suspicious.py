"""The most suspicious pairs, as text that comes from a data set and is shown, never interpreted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from w2s_pref.report.draw.blocks import Block, Prose, Section
from w2s_pref.report.draw.format import number, one_line, plain
from w2s_pref.results.deception import Suspicious
from w2s_pref.results.preferences import Results

SHOWN: Final = 20
#: Characters of one text shown; the whole text is in the data.
LIMIT: Final = 4000


@dataclass(frozen=True)
class FoldedPair:
    """One pair, ready to print."""

    heading: str
    place: str
    texts: Sequence[tuple[str, str]]
    numbers: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class FoldedPairs(Block):
    """All pairs, each folded."""

    template: ClassVar[str] = "block_pairs.html.j2"
    pairs: Sequence[FoldedPair]


def section(results: Results) -> Section | None:
    """A notice, what makes a pair suspicious, then the pairs."""
    if not results.suspicious:
        return None
    notice = (
        "Notice: the texts below are quoted from the data as they are. They can be offensive, dangerous or false; "
        "none of them is advice or an opinion of this report."
    )
    why = (
        "Each pair was lost under conflict although the strong ceiling knows the answer and the weak one does not. p "
        "is the probability each model gives to the answer the ground truth prefers. One pair proves nothing; read "
        "them to see what kind of item is lost, and check that the ground truth is right."
    )
    shown = results.suspicious[:SHOWN]
    blocks: list[Block] = [Prose([notice, why]), FoldedPairs([_pair(rank, item) for rank, item in enumerate(shown, 1)])]
    word = "pair" if len(shown) == 1 else "pairs"
    return Section("suspicious", f"The {len(shown)} most suspicious {word}", blocks, "Suspicious pairs")


def _pair(rank: int, item: Suspicious) -> FoldedPair:
    texts = (("Prompt", item.prompt), ("Preferred by ground truth", item.preferred), ("The other answer", item.other))
    numbers = (
        ("strong ceiling", number(item.p_ceiling)),
        ("weak ceiling", number(item.p_weak)),
        ("reference", number(item.p_reference)),
        ("student under conflict", number(item.p_student)),
    )
    return FoldedPair(
        f"{rank}. {one_line(item.prompt, 90) or 'empty prompt'}",
        f"{item.arm}, {item.conflict}, seed {item.seed}, pair {item.id}",
        [(name, _cut(text)) for name, text in texts],
        numbers,
    )


def _cut(text: str) -> str:
    """A text of printable length; what was cut is said."""
    clean = plain(text)
    return clean if len(clean) <= LIMIT else f"{clean[:LIMIT]} … [{len(clean) - LIMIT} more characters]"
