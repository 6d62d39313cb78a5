"""What went into each split, and which models took part."""

from __future__ import annotations

from w2s_pref.report.draw.blocks import Block, Cell, Section, Table, TableGroup
from w2s_pref.report.draw.format import count, pairs, plain
from w2s_pref.report.draw.svg import el
from w2s_pref.results.preferences import Results


def section(results: Results) -> Section:
    """Two tables: data and models."""
    splits: list[list[Cell]] = [
        [
            plain(name), plain(split.objective), count(split.rows), count(split.groups), pairs(split.counts),
            el("code", plain(split.hash)),
        ]
        for name, split in results.splits.items()
    ]  # fmt: skip
    models: list[list[Cell]] = [
        [
            plain(name),
            plain(model.path),
            "unknown" if model.parameters is None else count(model.parameters),
            plain(model.revision) if model.revision else "none given",
            el("code", plain(model.hash)),
        ]
        for name, model in results.models.items()
    ]
    blocks: list[Block] = [
        Table(
            "Splits. Rows are pairs; groups (prompts) never sit in two splits. Counts tell what was dropped or cut.",
            ("Split", "Objective", "Rows", "Groups", "Counts", "Hash"),
            [TableGroup("", splits)],
            stack=True,
            text_columns=(0, 1, 4, 5),
        ),
        Table(
            "Models.",
            ("Model", "Path", "Parameters", "Revision", "Hash"),
            [TableGroup("", models)],
            stack=True,
            text_columns=(0, 1, 3, 4),
        ),
    ]
    return Section("data", "Data and models", blocks, "Data")
