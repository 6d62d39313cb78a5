"""Forward tokens: how many positions the models of this process have computed, and how many of them were real."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Tokens:
    """``positions`` computed, padding included; ``real`` ones among them."""

    positions: int = 0
    real: int = 0


_total = Tokens()


def add(positions: int, real: int) -> None:
    """One forward pass more."""
    _total.positions += positions
    _total.real += real


@contextmanager
def counting() -> Iterator[Tokens]:
    """Tokens computed inside the block; the numbers stand when it ends, also by an exception."""
    positions, real, seen = _total.positions, _total.real, Tokens()
    try:
        yield seen
    finally:
        seen.positions, seen.real = _total.positions - positions, _total.real - real
