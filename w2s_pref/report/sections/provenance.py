"""Enough to run it again: data and models, command, versions, machine, stage keys, and the whole recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from w2s_pref.core.yaml_values import dumped
from w2s_pref.report.draw.blocks import Block, Code, Column, Facts, Fold, Section, Table, Value, plain_table
from w2s_pref.report.draw.format import computing, count, pairs
from w2s_pref.report.students import model_source
from w2s_pref.results.preferences import Results
from w2s_pref.results.trainings import ModelInfo, Provenance, SplitInfo

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
    Column("Path", lambda model: model_source(model[1]), words=True),
    Column("Parameters", lambda model: "unknown" if model[1].parameters is None else count(model[1].parameters)),
    Column("Revision", lambda model: model[1].revision or "none given", words=True),
    Column("Hash", lambda model: Value(model[1].hash, tone="code"), words=True),
)


def data(results: Results) -> Section:
    """Two tables: data and models."""
    caption = "Splits. Rows are pairs; groups (prompts) never sit in two splits. Counts tell what was dropped or cut."
    splits = Table(caption, SPLITS, [("", list(results.splits.items()))], stack=True)
    models = Table("Models.", MODELS, [("", list(results.models.items()))], stack=True)
    return Section("data", "Data and models", [splits, models], "Data")


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
    # in the recipe's own order, and floats so that YAML reads them as numbers again (``1.0e-06``)
    simple = json.loads(json.dumps(dict(results.recipe), default=str))
    recipe = dumped(simple, width=100)
    facts = [
        ("Command", source.command),
        ("Created", source.created),
        ("Computing time", computing(source.seconds, source.processor_seconds)),
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
        Fold("The resolved recipe", [Code(recipe, "resolved recipe")]),
    ]
    return Section("provenance", "Provenance", blocks)


def names(caption: str, values: Mapping[str, str], code: bool = False) -> Table[Any]:
    """A table of names and values."""
    rows = [(name, Value(value, tone="code" if code else "")) for name, value in values.items()]
    return plain_table(caption, ("Name", "Value"), rows)
