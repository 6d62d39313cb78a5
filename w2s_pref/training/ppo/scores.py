"""The reward function's answer, checked: a number for every answer, or a sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from accelerate import PartialState
from accelerate.utils import gather_object

from w2s_pref.core.errors import W2SError
from w2s_pref.training.rewards import RewardFunction


def checked(reward: RewardFunction, prompts: pd.DataFrame, answers: list[str], update: int) -> np.ndarray:
    """(n,) float64 rewards. Where one process fails, every process ends with the same sentence.

    Raises:
        W2SError: not one number for each answer, or one that is not finite.
    """
    values, problem, failure = np.zeros(len(answers)), None, None
    try:
        values = np.asarray(reward(prompts, answers), dtype=np.float64)
        problem = _problem(values, answers, update)
    except Exception as error:  # every process must know before this one leaves
        failure, problem = error, f"ppo: the reward function failed in update {update}: {error}"
    problems = gather_object([problem]) if PartialState().num_processes > 1 else [problem]
    if failure is not None:
        raise failure
    if found := [each for each in problems if each is not None]:
        raise W2SError(found[0])
    return values


def _problem(values: np.ndarray, answers: list[str], update: int) -> str | None:
    if values.shape != (len(answers),):
        return (
            f"ppo: in update {update} the reward function gave an array of shape {values.shape} for {len(answers)} "
            f"answers; it must give one number for each, shape ({len(answers)},)"
        )
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        return (
            f"ppo: in update {update} the reward of {len(wrong)} of {len(answers)} answers is not a finite number "
            f"({values[wrong[0]]} for {answers[wrong[0]][:60]!r}); mend the reward function or the reward model"
        )
    return None
