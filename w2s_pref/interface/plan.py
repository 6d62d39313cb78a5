"""What a run would do, before anything is computed, as an object."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pandas as pd

from w2s_pref.interface.page import preformatted
from w2s_pref.interface.printed import printed
from w2s_pref.interface.recipes import Recipe, given_recipe, overrides
from w2s_pref.planning.plan import HINT, PlannedStage, as_json, open_for_plan, rows_of, show_plan
from w2s_pref.studies.kind import AnyOpened
from w2s_pref.studies.notices import warnings_of


def plan(recipe: Recipe, **keys: Any) -> Plan:
    """What ``run`` would do with the same arguments: every configuration and data error is found, no weights loaded.

    Raises:
        W2SError: every problem found.
    """
    return Plan(open_for_plan(given_recipe(recipe), overrides(keys)))


class Plan:
    """The stages of a run and what of them stands in the store; its text is the summary of ``w2s plan``.

    Attributes:
        name: of the study.
        stages: a row for every stage, in building order: ``kind, name, state, rows, memory, note, key``. ``state``:
            hit (stands), building (by another run), partial, miss; ``memory`` in bytes, of trainings.
        warnings: what should be known before a run, as sentences.
    """

    def __init__(self, opened: AnyOpened) -> None:
        self._opened = opened
        self.name: str = opened.recipe.name
        columns = ("kind", "name", "state", "rows", "memory", "note", "key")
        rows: list[PlannedStage] = rows_of(opened)
        self.stages = pd.DataFrame([[getattr(row, name) for name in columns] for row in rows], columns=list(columns))
        self.warnings: list[str] = warnings_of(opened)

    @property
    def hits(self) -> int:
        """Stages that stand in the store."""
        return int((self.stages["state"] == "hit").sum())

    @cached_property
    def cost(self) -> dict[str, Any]:
        """Tokens, FLOPs, memory and storage: what ``w2s plan --cost --json`` writes."""
        from w2s_pref.planning.cost.estimate import Estimator
        from w2s_pref.planning.cost.table import costs_as_json

        return costs_as_json(Estimator(self._opened))

    def to_dict(self) -> dict[str, Any]:
        """What ``w2s plan --json`` writes."""
        return as_json(self._opened)

    def __repr__(self) -> str:
        text = printed(lambda console: show_plan(self._opened, console))
        return text.replace(HINT, "every stage: plan.stages; tokens, FLOPs: plan.cost")

    def _repr_html_(self) -> str:
        return preformatted(repr(self))
