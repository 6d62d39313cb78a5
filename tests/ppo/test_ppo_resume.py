"""A run that was stopped anywhere and started again ends with the undisturbed run's weights, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ppo_helpers import furthest, run

from w2s_pref.monitor import RiskMonitor
from w2s_pref.monitor.loop import LoopMonitor
from w2s_pref.training import callbacks
from w2s_pref.training.ppo.learner import Learner

#: 3 updates of 2 passes of 2 steps, with a controller whose state matters.
SETTINGS: dict[str, Any] = {"total_episodes": 24, "kl_target": 0.3, "kl_horizon": 40, "whiten_rewards": True}


class Stopped(Exception):
    """What ends a run from outside."""


def noisy(frame: pd.DataFrame, answers: list[str]) -> np.ndarray:
    """A reward that draws random numbers: they must be drawn anew as they were."""
    return np.array([answer.count("e") for answer in answers]) + np.random.normal(size=len(answers))


def told(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in line.items() if "second" not in name} for line in history]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, told(run(folder, noisy, **SETTINGS, save_steps=100)["history"])


def stop_at_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the optimizer take ``number`` steps, then stop."""
    step, taken = Learner.step, []

    def counted(self: Learner, *args: Any) -> Any:
        if len(taken) == number:
            raise Stopped
        taken.append(1)
        return step(self, *args)

    monkeypatch.setattr(Learner, "step", counted)


@pytest.mark.parametrize(
    ("steps", "save_steps", "checkpoint"),
    [
        (0, 1, "checkpoint-1"),  # after the first rollout
        (5, 1, "checkpoint-4"),  # in the first pass of the second update: after its rollout
        (7, 1, "checkpoint-5"),  # in the second pass: between passes
        (8, 1, "checkpoint-7"),  # after the third rollout
        (9, 2, "checkpoint-6"),  # in the third update, with the last checkpoint between updates
        (3, 2, None),  # before the first checkpoint
    ],
)
def test_stopped_and_resumed_equals_undisturbed(
    whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, save_steps: int, checkpoint: str | None
) -> None:
    with monkeypatch.context() as patch:
        stop_at_step(patch, steps)
        with pytest.raises(Stopped):
            run(tmp_path, noisy, **SETTINGS, save_steps=save_steps)
    newest = callbacks.latest(tmp_path / "work", remove_torn=False)
    assert (newest.name if newest else None) == checkpoint
    again = run(tmp_path, noisy, **SETTINGS, save_steps=save_steps)
    assert furthest(whole[0], tmp_path) == 0.0
    assert told(again["history"]) == whole[1]


def test_a_torn_checkpoint_is_passed_over(whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_at_step(patch, 7)
        with pytest.raises(Stopped):
            run(tmp_path, noisy, **SETTINGS)
    (tmp_path / "work" / "checkpoint-5" / "optimizer.safetensors").unlink()
    again = run(tmp_path, noisy, **SETTINGS)
    assert furthest(whole[0], tmp_path) == 0.0
    assert told(again["history"]) == whole[1]


def test_two_checkpoints_stay_and_none_is_a_pickle(tmp_path: Path) -> None:
    run(tmp_path, **SETTINGS)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["checkpoint-8", "checkpoint-9"]
    files = [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert "rollouts.safetensors" in {path.name for path in files}


def test_a_finished_run_started_again_only_saves(tmp_path: Path) -> None:
    first = run(tmp_path, **SETTINGS)["history"]

    def never(frame: pd.DataFrame, answers: list[str]) -> np.ndarray:
        raise AssertionError("nothing is left to score")

    assert run(tmp_path, never, **SETTINGS)["history"] == first


@pytest.mark.parametrize(("steps", "every"), [(3, 1), (5, 3), (8, 3)])
def test_looks_of_a_resumed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, every: int) -> None:
    """Resumed inside the first update, the policy is not what it was before it: that look is on record."""
    texts = [f"text {number}" for number in range(120)]
    pairs = pd.DataFrame(
        {"id": texts[:40], "group": texts[:40], "form": "text", "prompt": texts[:40], "a": texts[40:80]}
    )
    pairs = pairs.assign(b=texts[80:], truth=[number % 2 for number in range(40)])
    weak = pd.DataFrame({"id": pairs["id"], "p_a": np.linspace(0.05, 0.95, 40)})

    def spread(model: Any, shard: tuple[int, int]) -> np.ndarray:
        return np.linspace(-1, 1, 40) * float(next(iter(model.parameters())).double().sum())

    def watched(name: str) -> tuple[RiskMonitor, LoopMonitor]:
        (tmp_path / name).mkdir(exist_ok=True)
        found = RiskMonitor(
            pairs, weak, training_groups=["elsewhere"], folder=tmp_path / name, every=every, score=spread
        )
        return found, LoopMonitor(found, 3)

    expected, loop = watched("whole")
    run(tmp_path / "whole", noisy, **SETTINGS, watch=loop)
    with monkeypatch.context() as patch:
        stop_at_step(patch, steps)
        with pytest.raises(Stopped):
            run(tmp_path / "cut", noisy, **SETTINGS, watch=watched("cut")[1])
    again, loop = watched("cut")
    run(tmp_path / "cut", noisy, **SETTINGS, watch=loop)
    pd.testing.assert_frame_equal(again.table, expected.table, check_exact=True)
