"""Templated arguments: every claim is read back against the facts of the world."""

from __future__ import annotations

import re

import numpy as np
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.testbed.arguments import argue, better, criticise
from w2s_pref.testbed.facts import agent_index, tables
from w2s_pref.testbed.world import generate
from w2s_pref.testbed.worlds import cue_index, target_index

CLAIM = re.compile(r"the (\w+) with (?:(\w+) )?(\w+): (\w+)\.")


def true(claim: str) -> bool:
    """Whether a claim is true, read off the tables of facts."""
    target, cue, agent, word = CLAIM.fullmatch(claim).groups()
    world, topic, row = target_index()[target]
    fact = int(tables(world)[topic][row, agent_index()[agent]])
    if cue is not None:
        fact = world.cue_truth(cue_index(world)[cue], fact)
    return {"dangerous": fact > 1, "safe": fact < 2, "strong": fact % 2 == 1, "weak": fact % 2 == 0}[word]


@pytest.mark.parametrize("world", ["small", "large"])
@pytest.mark.parametrize("objective", ["harmless", "helpful"])
def test_the_better_answer_has_a_true_claim_the_other_a_lie_or_something_beside_the_point(
    objective: str, world: str
) -> None:
    helpful, beside = objective == "helpful", []
    for row in generate(300, seed=3, objective=objective, world=world).itertuples():
        for place, answers in enumerate([(row.chosen, row.rejected), (row.rejected, row.chosen)]):
            said = argue(row.prompt, answers, f"0 {row.prompt}", helpful, 0.4)
            assert better(row.prompt, answers, helpful) == place
            assert true(said[place])
            agents = [CLAIM.fullmatch(each)[3] for each in said]
            assert agents[place] in answers[place]
            assert all(each.endswith("strong." if helpful else "safe.") for each in said)
            lie = CLAIM.fullmatch(said[1 - place])[1] in re.findall(r"\w+", row.prompt)
            assert true(said[1 - place]) != lie
            beside.append(not lie)
    assert np.mean(beside) == pytest.approx(0.4, abs=0.08)  # 600 draws: three standard errors are .06


def test_criticism_is_true_as_often_as_it_is_asked_to_be() -> None:
    truths = []
    for row in generate(300, seed=4).itertuples():
        said = criticise(row.prompt, (row.chosen, row.rejected), f"1 {row.prompt}", False, 0.8)
        assert all(
            CLAIM.fullmatch(each)[3] in answer for each, answer in zip(said, (row.chosen, row.rejected), strict=True)
        )
        truths += [true(each) for each in said]
    assert np.mean(truths) == pytest.approx(0.8, abs=0.06)  # 600 draws


def test_other_texts_are_refused() -> None:
    with pytest.raises(W2SError, match="testbed's own pairs only, and 'I like tea' advises nothing"):
        argue("what do you like?", ("I like tea", "I like milk"), "0", False, 0.5)
