"""The wall time of a study of policies, with and without shared reference stages: part of ``policies.py``.

One recipe is run twice, each time into a store of its own: as it is, and with the student's name in the key of its
reference's log-probabilities, so that every student really computes its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from w2s_pref.engine.stage import Stage
from w2s_pref.stages.model_stage import StartStage
from w2s_pref.stages.policies import LogProbStage, PolicyStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies import run as pipeline
from w2s_pref.studies.preferences.study import Study


@dataclass
class Record:
    """A display that shows nothing and keeps what every stage that was built took."""

    built: list[tuple[Stage, float]] = field(default_factory=list)

    def stage(self, number: int, total: int, stage: Stage, event: str, seconds: float) -> None:
        """A stage was found, started or finished."""
        if event == "done":
            self.built.append((stage, seconds))

    def signal(self, step: int, signals: dict[str, float]) -> None:
        """Nothing is watched."""

    def step(self, done: int, total: int) -> None:
        """A training made progress."""

    def wait(self, sentence: str) -> None:
        """Nobody else works on the store."""

    def reference(self) -> list[float]:
        """Seconds of every reference stage."""
        return [s for stage, s in self.built if isinstance(stage, LogProbStage) and stage.name.startswith("reference")]


class Alone(LogProbStage):
    """Log-probabilities that belong to the student they were computed for: nobody else finds them in the store."""

    @property
    def payload(self) -> dict[str, Any]:
        """The student's name is part of the key."""
        return {**super().payload, "for": self.name}


def unshared(
    study: Study, policy: StartStage | PolicyStage, rows: Rows, name: str, seed: int, each: bool = False
) -> LogProbStage:
    """In the place of ``Study.logprobs``."""
    return Alone(f"{name} log-probs on {rows.name} · seed {seed}", policy, rows, study.tokens, each)


def shared_lines(folder: Path, rows: int, seeds: list[int]) -> list[tuple[object, ...]]:
    """DPO students under 2 arms and 3 conflict settings: the lines of a table, its head first."""
    study(folder / "warm-up", 40, seeds[:1], True)
    lines: list[tuple[object, ...]] = [
        ("students start", "reference log-probs", "stages", "their seconds", "whole study, s")
    ]
    for pre_stage, start in ((True, "fine-tuned, for each arm and seed"), (False, "as the model is")):
        place = folder / ("fine-tuned" if pre_stage else "as-it-is")
        together = study(place / "shared", rows, seeds, pre_stage)
        with patch.object(Study, "logprobs", unshared):
            apart = study(place / "alone", rows, seeds, pre_stage)
        for name, (record, whole) in (("shared", together), ("each student its own", apart)):
            seconds = record.reference()
            lines.append((start, name, len(seconds), sum(seconds), whole))
    return lines


def study(folder: Path, rows: int, seeds: list[int], pre_stage: bool) -> tuple[Record, float]:
    """Run the recipe into a store of its own: its stages, and the wall time of everything."""
    folder.mkdir(parents=True)
    short = {"num_train_epochs": 1, "learning_rate": 1.0e-3}
    splits = {"gt": rows, "w2s": rows, "test": rows, "conflict": rows, "conflict_test": rows}
    recipe = {
        "name": "shared", "seeds": seeds, "output": str(folder / "runs"), "students": ["dpo"],
        "data": {
            "target": {"source": "testbed", "objective": "harmless"},
            "conflict": {"source": "testbed", "objective": "helpful"},
            "splits": splits, "max_length": 64,
        },
        "models": {"weak": {"path": "ladder/xs"}, "middle": {"path": "ladder/s"}, "strong": {"path": "ladder/m"}},
        "arms": {"direct": ["weak", "strong"], "bootstrapped": ["weak", "middle", "strong"]},
        "methods": {"dpo": {"pre_stage": pre_stage, "training": short}},
        "conflict": {"settings": ["none", "explicit", "implicit"]},
        "training": {"batch_size": 16, **short}, "speech": {"prompts": 0}, "analysis": {"resamples": 200},
    }  # fmt: skip
    path, record = folder / "recipe.yaml", Record()
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    started = time.perf_counter()
    pipeline.run(path, [], record, "benchmarks/policies.py")
    return record, time.perf_counter() - started
