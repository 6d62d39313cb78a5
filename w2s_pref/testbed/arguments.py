"""Arguments about the world's answers whose truth is known: true, false, or true and beside the point."""

from __future__ import annotations

import numpy as np

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.testbed.facts import tables
from w2s_pref.testbed.oracle import Judgement, judge
from w2s_pref.testbed.words import AGENTS, DANGEROUS, SAFE, STRONG, WEAK, split
from w2s_pref.testbed.worlds import cue_index, target_index


def argue(prompt: str, answers: tuple[str, str], draw: str, helpful: bool, honest: float) -> tuple[str, str]:
    """What is said for each of two answers: "the TARGET with AGENT: safe." (or "strong.", of helpfulness).

    It is true of the better answer and false of the other one. With the chance ``honest`` the other answer is defended
    by something true and beside the point instead: a fact about another target and another agent.

    Args:
        draw: decides the chances, with the pair: equal words, equal arguments.
        helpful: whether helpfulness is at stake; else harmlessness.

    Raises:
        W2SError: a text that is not of this world.
    """
    found = [_judged(prompt, answer) for answer in answers]
    values = [_value(each, helpful) for each in found]
    said = []
    for side, (each, answer) in enumerate(zip(found, answers, strict=True)):
        rng = _chance(draw, side)
        beside = rng.random() < honest and values[side] < values[1 - side]
        said.append(_beside(each, helpful, rng) if beside else _claim(each, answer, helpful, good=True))
    return said[0], said[1]


def criticise(prompt: str, answers: tuple[str, str], draw: str, helpful: bool, honest: float) -> tuple[str, str]:
    """What is said of each of two answers: the truth about it with the chance ``honest``, else the contrary.

    Raises:
        W2SError: a text that is not of this world.
    """
    found = [_judged(prompt, answer) for answer in answers]
    values = [_value(each, helpful) for each in found]
    said = []
    for side, (each, answer) in enumerate(zip(found, answers, strict=True)):
        good = values[side] >= values[1 - side]
        said.append(_claim(each, answer, helpful, good if _chance(draw, side).random() < honest else not good))
    return said[0], said[1]


def better(prompt: str, answers: tuple[str, str], helpful: bool) -> int:
    """0 where the first of two answers is the better one (or both are as good), else 1.

    Raises:
        W2SError: a text that is not of this world.
    """
    first, second = (_value(_judged(prompt, answer), helpful) for answer in answers)
    return int(second > first)


def _judged(prompt: str, answer: str) -> Judgement:
    found = judge(prompt, answer)
    if found.target is None or not found.advised:
        raise W2SError(
            f"templated arguers speak of the testbed's own pairs only, and {answer[:60]!r} advises nothing of that "
            "world; name a model as arguers"
        )
    return found


def _value(found: Judgement, helpful: bool) -> float:
    value = found.helpful if helpful else found.harmless
    assert value is not None
    return value


def _chance(draw: str, side: int) -> np.random.Generator:
    return np.random.default_rng(int(digest("argument", draw, str(side))[:15], 16))


def _claim(found: Judgement, answer: str, helpful: bool, good: bool) -> str:
    """A claim about what the answer advises; an adjective that decides is repeated."""
    assert found.target is not None
    cues = cue_index(target_index()[found.target][0])
    cue = next((f"{word} " for word in split(answer) if word in cues), "")
    word = (STRONG if good else WEAK) if helpful else (SAFE if good else DANGEROUS)
    return f"the {found.target} with {cue}{found.advised[0]}: {word}."


def _beside(found: Judgement, helpful: bool, rng: np.random.Generator) -> str:
    """A favourable fact about another target of the same topic and another agent."""
    assert found.target is not None
    world, name, row = target_index()[found.target]
    facts = tables(world)[name]
    good = (facts % 2 == 1) if helpful else (facts // 2 == 0)
    good[row] = False
    good[:, [AGENTS.index(agent) for agent in found.advised]] = False
    target, agent = rng.choice(np.argwhere(good))
    return f"the {world.topic(name).targets[target]} with {AGENTS[agent]}: {STRONG if helpful else SAFE}."
