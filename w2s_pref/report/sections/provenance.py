"""Enough to run it again: command, versions, machine, stage keys, and the whole recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from w2s_pref.report.draw.blocks import Block, Cell, Code, Facts, Fold, Section, Table, TableGroup
from w2s_pref.report.draw.format import duration, plain
from w2s_pref.report.draw.svg import el
from w2s_pref.report.recipe import recipe_text
from w2s_pref.results.trainings import Provenance


class Run(Protocol):
    """What results of every kind of study say about themselves."""

    @property
    def seeds(self) -> Sequence[int]:
        """Of the recipe."""

    @property
    def schema_version(self) -> int:
        """Of results.json."""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """As it was read."""

    @property
    def provenance(self) -> Provenance:
        """Where the numbers come from."""


def section(results: Run) -> Section:
    """Facts, then three folds."""
    source = results.provenance
    facts = [
        ("Command", plain(source.command)),
        ("Created", plain(source.created)),
        ("Computing time", duration(source.seconds)),
        ("Processes", str(source.world_size)),
        ("Seeds", ", ".join(str(seed) for seed in results.seeds)),
        ("Schema of results.json", str(results.schema_version)),
    ]
    blocks: list[Block] = [
        Facts(facts),
        Fold("Versions and machine", [names("Versions.", source.versions), names("Machine.", source.machine)]),
        Fold(
            "Keys of the stages used", [names("A stage is found again in the store by its key.", source.stages, True)]
        ),
        Fold("The resolved recipe", [Code(recipe_text(results.recipe), "resolved recipe")]),
    ]
    return Section("provenance", "Provenance", blocks)


def names(caption: str, values: Mapping[str, str], code: bool = False) -> Table:
    """A table of names and values."""
    lines: list[list[Cell]] = [
        [plain(name), el("code", plain(value)) if code else plain(value)] for name, value in values.items()
    ]
    return Table(caption, ("Name", "Value"), [TableGroup("", lines)], text_columns=(0, 1))
