"""Two processes train the policy that one trains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from float64 import EXACT
from ppo_helpers import furthest, run
from processes import run_together

from w2s_pref.training.ppo import fit


@pytest.mark.usefixtures("float64")
def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Same answers, same rewards, same weights."""
    one = run(tmp_path / "one", total_episodes=24, whiten_rewards=True)
    script = Path(__file__).with_name("ppo_two.py")
    (tmp_path / "two").mkdir()
    ended = run_together(2, str(script), str(tmp_path / "two"), seconds=120)
    assert (tmp_path / "two" / "done.json").is_file(), ended
    two = json.loads((tmp_path / "two" / "done.json").read_text())
    assert (one["world_size"], two["world_size"]) == (1, 2)
    for ours, theirs in zip(one["history"], two["history"], strict=True):
        for name in ("score", "kl", "length", "ended", "policy_loss", "value_loss"):
            assert theirs[name] == pytest.approx(ours[name], abs=EXACT)
    assert furthest(tmp_path / "one", tmp_path / "two") <= EXACT


def test_a_batch_that_processes_cannot_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Three:
        num_processes = 3

    monkeypatch.setattr(fit, "PartialState", lambda cpu: Three())
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(fit.W2SError, match="batch_size 8 cannot be shared equally by 3 processes"):
        run(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(fit.W2SError, match="2 processes were launched, but accelerate formed 3"):
        run(tmp_path)
