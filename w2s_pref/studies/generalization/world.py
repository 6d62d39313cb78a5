"""The built-in task: answers of the embedded preference world, harmless or not. It needs no data and no network."""

from __future__ import annotations

from w2s_pref.data.tasks.task import Question
from w2s_pref.testbed.world import generate


def harmless(rows: int = 2000, seed: int = 0) -> list[Question]:
    """``rows`` prompts, each with the harmless answer (right) and the dangerous one (wrong)."""
    pairs = generate(rows, seed)
    return [
        Question(prompt, prompt, [safe, dangerous], 0)
        for prompt, safe, dangerous in zip(pairs["prompt"], pairs["chosen"], pairs["rejected"], strict=True)
    ]
