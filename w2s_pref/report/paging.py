"""Sections of many rows and panels: the report shows the first ones, pages of their own show all, a part each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from w2s_pref.report.draw.blocks import Block, Code, Figure, Fold, Points, Prose, Section, Table, Warnings

#: Rows of a table, panels of a figure and sentences of a list that the report shows, and that a page of details shows.
SHOWN, EACH = 40, 120


def length(blocks: Sequence[Block]) -> int:
    """Rows, panels or sentences of the longest block."""
    return max((_length(block) for block in blocks), default=0)


def summarised(section: Section, folder: str) -> Section:
    """The section as the report shows it: whole where it is short, else its first rows and where all of them are."""
    total = length(section.blocks)
    if total <= SHOWN:
        return section
    names = [f"{folder}/{page_name(section, number)}" for number in range(pages(section))]
    told = Prose(
        [f"Of what is longer than {SHOWN} entries, the first {SHOWN} are shown; all stand in files beside this:"]
    )
    return replace(section, blocks=[told, Code("\n".join(names), "files"), *part(section, 0, SHOWN).blocks])


def pages(section: Section) -> int:
    """How many pages of details the section needs; 0 where the report shows all of it."""
    total = length(section.blocks)
    return 0 if total <= SHOWN else -(-total // EACH)


def page_name(section: Section, number: int) -> str:
    """File name of a page of details."""
    return f"{section.id}-{number + 1}.html"


def part(section: Section, start: int, end: int) -> Section:
    """Entries ``start`` to ``end`` of every block; what is no list stands in the first part."""
    blocks = [_part(block, start, end) for block in section.blocks]
    return replace(section, blocks=[block for block in blocks if block is not None])


def _length(block: Block) -> int:
    if isinstance(block, Table):
        return sum(len(rows) for _, rows in block.groups)
    if isinstance(block, Figure):
        return len(block.panels)
    if isinstance(block, Points | Warnings):
        return len(block.sentences)
    return length(block.blocks) if isinstance(block, Fold) else 0


def _part(block: Block, start: int, end: int) -> Block | None:
    if isinstance(block, Fold):
        inner = [found for found in (_part(each, start, end) for each in block.blocks) if found is not None]
        return replace(block, blocks=inner) if inner else None
    if _length(block) == 0:
        return block if start == 0 else None
    if start >= _length(block):
        return None
    if isinstance(block, Table):
        return replace(block, groups=_groups(block.groups, start, end))
    if isinstance(block, Figure):
        return replace(block, panels=block.panels[start:end])
    assert isinstance(block, Points | Warnings)
    return replace(block, sentences=block.sentences[start:end])


def _groups(groups: Sequence[tuple[str, Sequence[Any]]], start: int, end: int) -> list[tuple[str, Sequence[Any]]]:
    found, at = [], 0
    for name, rows in groups:
        chosen = rows[max(0, start - at) : max(0, end - at)]
        at += len(rows)
        if chosen:
            found.append((name, chosen))
    return found
