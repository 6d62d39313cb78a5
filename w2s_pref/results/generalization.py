"""``results.json`` of the laboratory: where the tables beside it come from. The numbers are in generalization.json."""

from __future__ import annotations

from typing import Any, Literal

from w2s_pref.results.estimates import Model
from w2s_pref.results.trainings import ModelInfo, Provenance, SplitInfo


class Headline(Model):
    """One sentence for lists of runs."""

    headline: str


class LabResults(Model):
    """What a run of the laboratory says about itself."""

    kind: Literal["generalization"] = "generalization"
    schema_version: Literal[1] = 1
    name: str
    seeds: list[int]
    tasks: dict[str, dict[str, SplitInfo]]
    models: dict[str, ModelInfo]
    verdict: Headline
    recipe: dict[str, Any]
    provenance: Provenance
