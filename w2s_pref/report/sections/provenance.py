"""Enough to run it again: command, versions, machine, stage keys, and the whole recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

from w2s_pref.report.draw.blocks import Block, Code, Facts, Fold, Section, Table, Value, plain_table
from w2s_pref.report.draw.format import duration
from w2s_pref.results.results import Results


def section(results: Results) -> Section:
    """Facts, then three folds."""
    source = results.provenance
    facts = [
        ("Command", source.command),
        ("Created", source.created),
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


def names(caption: str, values: Mapping[str, str], code: bool = False) -> Table[Any]:
    """A table of names and values."""
    rows = [(name, Value(value, tone="code" if code else "")) for name, value in values.items()]
    return plain_table(caption, ("Name", "Value"), rows)


def recipe_text(recipe: Mapping[str, Any]) -> str:
    """The resolved recipe as YAML that can be saved and run again, in its own order.

    Floats are written so that YAML reads them as numbers again (``1.0e-06``).
    """
    simple = json.loads(json.dumps(dict(recipe), default=str))
    text: str = yaml.safe_dump(simple, sort_keys=False, allow_unicode=True, width=100)
    return text
