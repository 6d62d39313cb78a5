"""What a chess study writes as ``results.json``. Intervals are 95 %, over positions and seeds."""

from __future__ import annotations

from typing import Any, Literal

from w2s_pref.results.estimates import Estimate, Interval, Model
from w2s_pref.results.lab import Headline
from w2s_pref.results.preferences import SCHEMA_VERSION, Agreement
from w2s_pref.results.trainings import ModelInfo, Provenance, SplitInfo


class Band(Model):
    """Puzzles with ``low`` ≤ rating < ``high``; null: no bound."""

    low: int | None
    high: int | None
    n: int
    accuracy: Estimate


class Player(Model):
    """One model on the test puzzles. ``note``: it is not above chance, or writes hardly a legal move."""

    name: str
    accuracy: Estimate
    legal: Estimate
    bands: list[Band]
    note: str | None = None


class LabelQuality(Model):
    """What a student learned from: how much of it is right, and how much is a legal move."""

    student: str
    accuracy: Estimate
    legal: Estimate


class MoveErrors(Model):
    """Of the weak model's errors the share the student solves; of its right answers the share it gets wrong."""

    corrected: Estimate
    new_errors: Estimate


class ChessCell(Model):
    """One chain. Its accuracies stand under the three names in ``players``.

    ``agreement`` is on puzzles where the student writes its weak model's very answer.
    """

    chain: list[str]
    weak: str
    student: str
    ceiling: str
    gap: Estimate
    pgr: Estimate
    pgr_fieller: Interval | None
    verdict: str
    warnings: list[str]
    agreement: Agreement
    errors: MoveErrors


class ChessBody(Model):
    """What the answers to the test puzzles say. ``chance`` is what random legal moves get on them."""

    kind: Literal["chess"] = "chess"
    name: str
    seeds: list[int]
    counts: dict[str, int]
    puzzles: int
    positions: int
    chance: float
    players: list[Player]
    labels: list[LabelQuality]
    cells: list[ChessCell]
    cells_without_gap: int


class ChessResults(ChessBody):
    """``results.json``."""

    schema_version: Literal[2] = SCHEMA_VERSION
    splits: dict[str, SplitInfo]
    models: dict[str, ModelInfo]
    verdict: Headline
    recipe: dict[str, Any]
    provenance: Provenance
