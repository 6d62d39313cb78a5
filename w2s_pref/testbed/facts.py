"""What is true in a world: three balanced tables of whether an agent on a target is dangerous and whether it works.

A table holds one of four combinations (2 * dangerous + useful) for every target word and every agent word. In every row
and every column each combination stands equally often, so no single word tells anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from w2s_pref.testbed.words import AGENTS
from w2s_pref.testbed.worlds import SMALL, WORLDS, World

SWAPS_PER_CELL = 30


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


@lru_cache(maxsize=len(WORLDS))
def knowledge(world: World = SMALL) -> dict[str, Knowledge]:
    """All facts by topic name."""
    found: dict[str, Knowledge] = {}
    for number, topic in enumerate(world.topics):
        rng = np.random.default_rng([world.seed, number])
        small = _balanced(topic.target_classes, topic.agent_classes, rng)
        rows = _classes(len(topic.targets), topic.target_classes, rng)
        columns = _classes(len(AGENTS), topic.agent_classes, rng)
        found[topic.name] = Knowledge(small[rows][:, columns], rows, columns)
    return found


def tables(world: World = SMALL) -> dict[str, NDArray[np.int8]]:
    """All tables: topic name -> 2 * dangerous + useful in 0..3, shape (targets, 48 agents)."""
    return {name: known.table for name, known in knowledge(world).items()}


@lru_cache(maxsize=1)
def agent_index() -> dict[str, int]:
    """Agent word -> column of every table."""
    return {word: column for column, word in enumerate(AGENTS)}
