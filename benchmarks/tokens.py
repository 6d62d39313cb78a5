"""Nothing is computed twice: forward tokens of a study of 2 arms, 3 conflicts and 3 seeds against the least possible.

    python benchmarks/tokens.py

The least is counted from the graph alone: every training reads its pairs once an epoch, every model scores every split
that somebody reads once; a pair costs its prompt once and both answers. Re-scoring after a model was saved and loaded
(``CHECKED_PAIRS``, twice) is the price of checking it, and stands in a line of its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from policies_shared import Record

from w2s_pref.data.tokens import tokenize
from w2s_pref.engine.stage import Stage
from w2s_pref.models.batches import Row, row_length
from w2s_pref.models.load import load_tokenizer
from w2s_pref.planning.cost.work import seen_pairs
from w2s_pref.stages.model_stage import CHECKED_PAIRS
from w2s_pref.stages.rewards import ScoreStage, TrainStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.run import open_recipe, run

RECIPE = Path(__file__).parent.parent / "recipes" / "quickstart.yaml"
STUDY = ["seeds=[0,1,2]", "conflict.settings=[none, explicit, implicit]"]


class Lengths:
    """Tokens of pairs with their prompt once, each distinct text of a split once."""

    def __init__(self, tokens: dict[str, Any]) -> None:
        self.tokens = tokens
        self._known: dict[tuple[str, str, bool], int] = {}

    def of(self, rows: Rows, model: Any, distinct: bool) -> int:
        """Tokens of all pairs of a split under a model's tokenizer."""
        key = (rows.texts, model.tokenizer_hash, distinct)
        if key not in self._known:
            self._known[key] = self._sum(rows.frame, model, distinct)
        return self._known[key]

    def _sum(self, frame: pd.DataFrame, model: Any, distinct: bool) -> int:
        done = tokenize(frame, load_tokenizer(model.folder), **self.tokens)
        pairs = [(tuple(a), tuple(b)) for a, b in zip(done.a_ids, done.b_ids, strict=True)]
        return sum(row_length(Row(pair), "shared") for pair in (dict.fromkeys(pairs) if distinct else pairs))


def least(stages: list[Stage], lengths: Lengths) -> tuple[float, float]:
    """Forward tokens that cannot be avoided: of trainings, and of scores."""
    trained = scored = 0.0
    for stage in stages:
        if isinstance(stage, TrainStage) and stage.parts:
            share = seen_pairs(stage) / stage.rows
            trained += share * sum(lengths.of(part.rows, stage.model, False) for part in stage.parts)
        if isinstance(stage, ScoreStage):
            scored += lengths.of(stage.on, stage.model.model, True)
    return trained, scored


def main() -> None:
    """Run the study into a store of its own and compare."""
    with tempfile.TemporaryDirectory() as folder:
        where = [*STUDY, f"output={folder}/runs"]
        run(RECIPE, where, Record(), "")
        opened = open_recipe(RECIPE, where)
        stages = all_stages(opened.study)
        lengths = Lengths(opened.study.tokens)
        meta = {stage.key: opened.store.get(stage.kind, stage.key).meta for stage in stages}  # type: ignore[union-attr]
        checked = sum(
            2 * lengths.of(Rows("checked", stage.parts[0].rows.frame.head(CHECKED_PAIRS)), stage.model, True)
            for stage in stages
            if isinstance(stage, TrainStage) and stage.parts
        )
    trained, scored = least(stages, lengths)
    real = sum(each.get("real_tokens", 0) for each in meta.values())
    positions = sum(each.get("computed_tokens", 0) for each in meta.values())
    alone = _alone(stages, lengths)
    print(f"{len(stages)} stages, 2 arms x 3 conflicts x 3 seeds")
    print("| forward tokens | | of the least |\n|---|---|---|")
    for name, value in (
        ("least: trainings", trained),
        ("least: scores", scored),
        ("least", trained + scored),
        ("computed, without padding and checks", real - checked),
        ("computed, without padding", real),
        ("computed, padding included", positions),
        ("if every student made its own supervisor, ceilings and labels", alone),
    ):
        print(f"| {name} | {value:,.0f} | {value / (trained + scored):.3f} |")


def _alone(stages: list[Stage], lengths: Lengths) -> float:
    """The same students, each with everything that it rests on computed for it alone."""
    students = [stage for stage in stages if isinstance(stage, TrainStage) and "/hop" not in stage.name]
    students = [stage for stage in students if stage.name.count("/") and not stage.name.startswith(("ceiling", "gold"))]
    total = 0.0
    for student in students:
        mine = [student, *_ancestors(student)]
        tests = [
            stage for stage in stages if isinstance(stage, ScoreStage) and stage.model.key in {m.key for m in mine}
        ]
        ceilings = [
            s for s in stages if isinstance(s, TrainStage) and s.name.startswith("ceiling") and s.seed == student.seed
        ]
        its = {stage.key: stage for stage in (*mine, *tests, *ceilings)}
        its |= {s.key: s for s in stages if isinstance(s, ScoreStage) and s.model.key in {c.key for c in ceilings}}
        total += sum(least(list(its.values()), lengths))
    return total


def _ancestors(stage: Stage) -> list[Stage]:
    found: dict[str, Stage] = {}
    for parent in stage.inputs.values():
        found |= {parent.key: parent} | {each.key: each for each in _ancestors(parent)}
    return list(found.values())


if __name__ == "__main__":
    main()
