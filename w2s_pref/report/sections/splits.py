"""What went into each split, and which models took part."""

from __future__ import annotations

from typing import Final

from w2s_pref.report.draw.blocks import Column, Section, Table, Value
from w2s_pref.report.draw.format import count, pairs
from w2s_pref.results.results import ModelInfo, Results, SplitInfo

SPLITS: Final[tuple[Column[tuple[str, SplitInfo]], ...]] = (
    Column("Split", lambda split: split[0]),
    Column("Objective", lambda split: split[1].objective, words=True),
    Column("Rows", lambda split: count(split[1].rows)),
    Column("Groups", lambda split: count(split[1].groups)),
    Column("Counts", lambda split: pairs(split[1].counts), words=True),
    Column("Hash", lambda split: Value(split[1].hash, tone="code"), words=True),
)
MODELS: Final[tuple[Column[tuple[str, ModelInfo]], ...]] = (
    Column("Model", lambda model: model[0]),
    Column("Path", lambda model: model[1].path, words=True),
    Column("Parameters", lambda model: "unknown" if model[1].parameters is None else count(model[1].parameters)),
    Column("Revision", lambda model: model[1].revision or "none given", words=True),
    Column("Hash", lambda model: Value(model[1].hash, tone="code"), words=True),
)


def section(results: Results) -> Section:
    """Two tables: data and models."""
    caption = "Splits. Rows are pairs; groups (prompts) never sit in two splits. Counts tell what was dropped or cut."
    splits = Table(caption, SPLITS, [("", list(results.splits.items()))], stack=True)
    models = Table("Models.", MODELS, [("", list(results.models.items()))], stack=True)
    return Section("data", "Data and models", [splits, models], "Data")
