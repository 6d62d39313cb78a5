"""Settings refuse what does not go together; draws depend on seed and place only."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from w2s_pref.training.ppo import NOT_IN_KEY, PPOSettings, draws


def test_settings_need_no_torch() -> None:
    code = "import sys, w2s_pref.training.ppo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"batch_size": 10, "num_mini_batches": 4}, "no multiple of num_mini_batches"),
        ({"kl_coeff": 0.1}, "did you mean 'kl_coef'"),
        ({"temperature": 0.0}, "greater than 0"),
        ({"learning_rate": "1e-6"}, "valid number"),
        ({"kl_estimator": "k2"}, "'k1' or 'k3'"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PPOSettings(**wrong)


def test_updates_and_key() -> None:
    settings = PPOSettings(total_episodes=100, batch_size=32, save_steps=7)
    assert settings.updates == 4
    assert set(PPOSettings.model_fields) > NOT_IN_KEY
    assert set(settings.keyed()) == set(PPOSettings.model_fields) - NOT_IN_KEY
    assert all(field.description for field in PPOSettings.model_fields.values())


def test_every_prompt_comes_once_before_any_comes_again() -> None:
    rows = [row for update in range(5) for row in draws.rows_of_update(10, 4, 0, update)]
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10] != rows[10:]
    assert sorted(draws.rows_of_update(3, 7, 0, 0)[:6]) == [0, 0, 1, 1, 2, 2]


def test_passes_see_every_rollout_once_in_another_order() -> None:
    first, second = (draws.mini_batches(12, 3, 0, 5, epoch) for epoch in (0, 1))
    assert [len(batch) for batch in first] == [4, 4, 4]
    flat = [[int(row) for batch in each for row in batch] for each in (first, second)]
    assert sorted(flat[0]) == sorted(flat[1]) == list(range(12))
    assert flat[0] != flat[1]
