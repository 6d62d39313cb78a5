"""The last stage of a generalization study: tables of answers, cells and curves, and the body of its results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from w2s_pref.core.tables import digest
from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.results.lab import LAB_SCHEMA
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.answers import SELECTIONS, Classified, sigmoid

#: Tables beside results.json.
TABLES = ("predictions", "cells", "curves")


@dataclass(frozen=True, eq=False)
class FinishStage(Stage):
    """All answers of a study → tables, and the body of its results.

    ``named``: (task, name, seed) → classifier; ``floors``: the same of weak models that answer together.
    """

    kind: ClassVar[str] = "analysis"
    version: ClassVar[int] = 4
    on_main: ClassVar[bool] = True
    named: dict[tuple[str, str, int], Classified]
    floors: dict[tuple[str, str, int], Scored]
    tests: dict[str, dict[str, Rows]]
    cells: list[dict[str, Any]]
    settings: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """Every classifier by its name."""
        every: dict[tuple[str, str, int], Stage] = {**self.named, **self.floors}
        return {f"{task} {name} {seed}": stage for (task, name, seed), stage in every.items()}

    @property
    def payload(self) -> dict[str, Any]:
        """Design, and the ground truth that everything is judged by."""
        return {
            "form": f"generalization {LAB_SCHEMA}",
            "tests": {task: [_judged(rows) for rows in splits.values()] for task, splits in self.tests.items()},
            "cells": self.cells,
            "settings": self.settings,
        }

    @property
    def rows(self) -> int:
        """Test items."""
        return sum(len(splits["test"]) for splits in self.tests.values())

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """Write ``predictions``, ``cells`` and ``curves`` as Parquet, and the body of the results as JSON."""
        from w2s_pref.analysis.lab.study import summarize

        predictions, curves = predictions_of(builder, self), curves_of(builder, self)
        cells = pd.DataFrame(self.cells)
        for name, table in zip(TABLES, (predictions, cells, curves), strict=True):
            table.to_parquet(folder / f"{name}.parquet", index=False)
        body = summarize(predictions, cells, curves, self.settings)
        (folder / "body.json").write_text(body.model_dump_json(indent=1), encoding="utf-8")
        return {"rows": len(predictions)}


def _judged(rows: Rows) -> list[str]:
    """Hashes of texts, ground truth and groups: intervals resample groups."""
    groups = sorted(zip(rows.frame["id"], rows.frame["group"], strict=True))
    return [rows.texts, rows.truth, digest(*(f"{identity}:{group}" for identity, group in groups))]


def predictions_of(builder: Builder, stage: FinishStage) -> pd.DataFrame:
    """``task, split, id, group, truth, name, seed, p``: p is P(y = 1) of the recipe's selection.

    On the test split students also stand there as ``NAME#final``, ``NAME#best_weak`` and ``NAME#best_truth``.
    """
    parts = []
    for (task, name, seed), model in stage.named.items():
        table = builder.table(model).set_index("id")
        for split, rows in stage.tests[task].items():
            parts.append(_answers(table[stage.settings["selection"]], rows, task, split, name, seed))
            if split == "test" and not name.startswith(("floor/", "ceiling/")):
                parts += [_answers(table[each], rows, task, split, f"{name}#{each}", seed) for each in SELECTIONS]
    for (task, name, seed), pool in stage.floors.items():
        table = builder.table(pool).set_index("id")
        margins = table["score_a"] - table["score_b"]
        parts += [_answers(margins, rows, task, split, name, seed) for split, rows in stage.tests[task].items()]
    found = pd.concat(parts, ignore_index=True)
    return found.astype(dict.fromkeys(("task", "split", "name"), "category"))


def _answers(margins: pd.Series, rows: Rows, task: str, split: str, name: str, seed: int) -> pd.DataFrame:
    items = rows.frame[["id", "group", "truth"]]
    p = sigmoid(margins.loc[items["id"]])
    return pd.DataFrame({"task": task, "split": split, **items, "name": name, "seed": seed, "p": p})


def curves_of(builder: Builder, stage: FinishStage) -> pd.DataFrame:
    """Evaluations on the validation items while classifiers trained.

    ``task, name, seed``, the training's own columns (``epoch``, ``progress``, …, ``weak_agreement``,
    ``truth_accuracy``), and ``picked``: which selections were taken at that point.
    """
    parts = [_curve(builder, model, task, name, seed) for (task, name, seed), model in stage.named.items()]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"task": [], "name": [], "seed": []})


def _curve(builder: Builder, model: Classified, task: str, name: str, seed: int) -> pd.DataFrame:
    curve = pd.read_parquet(builder.artifact(model).folder / "curve.parquet")
    curve.insert(0, "task", task)
    curve.insert(1, "name", name)
    curve.insert(2, "seed", seed)
    return curve
