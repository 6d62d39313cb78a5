"""What is true in the world: three balanced tables of whether an agent on a target is dangerous and whether it works.

A table holds one of four combinations (2 * dangerous + useful) for every target word and every agent word. In every row
and every column each combination stands equally often, so no single word tells anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from w2s_pref.testbed.words import AGENTS, BASES, RELICS, SURFACES

WORLD_SEED = 20240611
"""Fixes every fact; row seeds only draw chats."""

SWAPS_PER_CELL = 30


@dataclass(frozen=True)
class Topic:
    """One table of facts.

    Attributes:
        name: ``common``, ``mix`` or ``rare``.
        targets: words of the rows.
        target_classes: number of hidden classes of the targets, a multiple of 4; as many as targets: none at all.
        agent_classes: number of hidden classes of the agents, a multiple of 4.
    """

    name: str
    targets: tuple[str, ...]
    target_classes: int
    agent_classes: int


TOPICS: dict[str, Topic] = {
    "common": Topic("common", SURFACES, 4, 8),
    "mix": Topic("mix", BASES, 48, 48),
    "rare": Topic("rare", RELICS, 40, 48),
}


def _balanced(rows: int, columns: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """A random rows x columns table over 0..3, each value equally often in each row and in each column."""
    table = ((np.arange(rows)[:, None] + np.arange(columns)[None, :]) % 4).astype(np.int8)
    table = table[rng.permutation(rows)][:, rng.permutation(columns)]
    picks = rng.integers(0, [[rows, rows, columns, columns]], size=(SWAPS_PER_CELL * rows * columns, 4))
    grid = table.tolist()
    for i, k, j, m in picks.tolist():
        a, b = grid[i][j], grid[i][m]
        if a != b and grid[k][j] == b and grid[k][m] == a:
            grid[i][j], grid[i][m], grid[k][j], grid[k][m] = b, a, a, b
    return np.array(grid, dtype=np.int8)


def _classes(words: int, classes: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Hidden class of every word, all classes equally large: shape (words,)."""
    return rng.permutation(np.arange(words) % classes)


@dataclass(frozen=True)
class Knowledge:
    """Everything true of one topic.

    Attributes:
        table: 2 * dangerous + useful in 0..3, shape (targets, 48 agents).
        target_class: hidden class of every target, shape (targets,).
        agent_class: hidden class of every agent, shape (48,).
    """

    table: NDArray[np.int8]
    target_class: NDArray[np.int64]
    agent_class: NDArray[np.int64]


@lru_cache(maxsize=1)
def knowledge() -> dict[str, Knowledge]:
    """All facts by topic name."""
    found: dict[str, Knowledge] = {}
    for number, topic in enumerate(TOPICS.values()):
        rng = np.random.default_rng([WORLD_SEED, number])
        small = _balanced(topic.target_classes, topic.agent_classes, rng)
        rows = _classes(len(topic.targets), topic.target_classes, rng)
        columns = _classes(len(AGENTS), topic.agent_classes, rng)
        found[topic.name] = Knowledge(small[rows][:, columns], rows, columns)
    return found


def tables() -> dict[str, NDArray[np.int8]]:
    """All tables: topic name -> 2 * dangerous + useful in 0..3, shape (targets, 48 agents)."""
    return {name: known.table for name, known in knowledge().items()}


@lru_cache(maxsize=1)
def target_index() -> dict[str, tuple[str, int]]:
    """Target word -> (topic name, row of its table)."""
    return {word: (topic.name, row) for topic in TOPICS.values() for row, word in enumerate(topic.targets)}


@lru_cache(maxsize=1)
def agent_index() -> dict[str, int]:
    """Agent word -> column of every table."""
    return {word: column for column, word in enumerate(AGENTS)}
