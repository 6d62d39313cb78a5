"""Pre-training text of the ladder, drawn in bulk as token ids: chats and bare answers, each followed by two verdicts.

After the end-of-sequence token of a chat a reviewer says in two words, in random order, whether the advice was
dangerous or safe and strong or weak. So what a model knows stands, linearly readable, at the last token of a chat.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from w2s_pref.testbed.facts import knowledge
from w2s_pref.testbed.words import (
    AGENT_KINDS,
    AGENTS,
    ANSWERS,
    DANGEROUS,
    DOSES,
    EOS,
    KIND_STATEMENTS,
    PAD,
    PROMPTS,
    REVIEW,
    SAFE,
    STATEMENTS,
    STRONG,
    TOPIC_OF_TIER,
    WEAK,
    Tier,
    split,
)
from w2s_pref.testbed.worlds import SMALL, WORLDS, Topic, World, vocabulary

Ints = NDArray[np.int64]
SLOTS: tuple[str, ...] = ("u", "a", "b", "v", "w", "dose", "cue", "first", "second", "ukind", "vkind")
DRAW_WEIGHT, ANSWER_WEIGHT = 0.01, 0.1
KINDS: tuple[str, ...] = ("statement", "answer", "chat")


@dataclass(frozen=True)
class Bank:
    """Compiled sentences: ids and slots (as -1 - slot number) of shape (sentences, width), and the tier of each."""

    ids: Ints
    tier: Ints


def _compile(form: str, known: dict[str, int]) -> list[int]:
    """Token ids of a sentence; slots become negative numbers."""
    out: list[int] = []
    for piece in re.split(r"(\{\w+\}|</s>)", form):
        if piece.startswith("{"):
            out.append(-1 - SLOTS.index(piece[1:-1]))
        elif piece == EOS:
            out.append(known[EOS])
        else:
            out += [known[word] for word in split(piece)]
    return out


def _forms(world: World, kind: str) -> list[tuple[int, str]]:
    """Tier and sentence of every form of a kind."""
    if kind == "statement":
        judged = [(tier, form + world.end + REVIEW) for tier, forms in enumerate(STATEMENTS) for form in forms]
        return judged + [(int(Tier.COMMON), form) for form in KIND_STATEMENTS]
    prompts = PROMPTS if kind == "chat" else [("",)] * len(ANSWERS)
    return [
        (tier, prompt + answer + EOS + REVIEW)
        for tier, answers in enumerate(ANSWERS)
        for prompt in prompts[tier]
        for answer in answers
    ]


@lru_cache(maxsize=len(WORLDS) * len(KINDS))
def bank(world: World, kind: str) -> Bank:
    """Every sentence form of one kind."""
    forms = _forms(world, kind)
    rows = [_compile(form, vocabulary(world)) for _, form in forms]
    width = max(len(row) for row in rows)
    pad = vocabulary(world)[PAD]
    ids = np.array([row + [pad] * (width - len(row)) for row in rows], dtype=np.int64)
    return Bank(ids, np.array([tier for tier, _ in forms], dtype=np.int64))


def _lookup(world: World, words: tuple[str, ...]) -> Ints:
    known = vocabulary(world)
    return np.array([known[word] for word in words], dtype=np.int64)


def _targets(topic: Topic, rows: int, rng: np.random.Generator) -> Ints:
    """Numbers of so many drawn targets, the first ones more often where the topic has a spread."""
    if topic.spread == 1.0:
        return rng.integers(len(topic.targets), size=rows)
    share = np.cumsum(topic.spread ** -np.linspace(0.0, 1.0, len(topic.targets)))
    return np.searchsorted(share / share[-1], rng.random(rows), side="right")


def _facts(world: World, tier: Ints, agent: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Draw a target for every row: its token id, the fact 2 * dangerous + useful about its agent, and its kind."""
    target, fact, kind = (np.zeros_like(tier) for _ in range(3))
    for topic in world.topics:
        rows = np.flatnonzero(np.array([name == topic.name for name in TOPIC_OF_TIER])[tier])
        drawn = _targets(topic, len(rows), rng)
        target[rows] = _lookup(world, topic.targets)[drawn]
        fact[rows] = knowledge(world)[topic.name].table[drawn, agent[rows]]
        if topic.name == "common":
            kind[rows] = _lookup(world, world.kinds)[knowledge(world)[topic.name].target_class[drawn]]
    return target, fact, kind


def _weights(world: World, forms: Ints, kind: str) -> NDArray[np.float32]:
    """Weight of every token in the loss: verdicts count fully, a chat's answer less, random draws hardly at all."""
    known = vocabulary(world)
    weight = np.full(forms.shape, DRAW_WEIGHT, dtype=np.float32)
    if kind == "chat":
        opened = np.cumsum(forms == known["bot"], axis=1) > 0
        weight[opened] = ANSWER_WEIGHT
    weight[forms <= -1 - SLOTS.index("first")] = 1.0
    weight[forms == known[PAD]] = 0.0
    return weight


def sample(rows: int, kind: str, rng: np.random.Generator, world: World = SMALL) -> tuple[Ints, NDArray[np.float32]]:
    """Draw documents: token ids of shape (rows, width), and the weight of each in the loss, same shape."""
    sentences = bank(world, kind)
    share = np.array(world.tier_weights)[sentences.tier] / np.bincount(sentences.tier)[sentences.tier]
    form = rng.choice(len(share), size=rows, p=share / share.sum())
    ids = sentences.ids[form]
    where, column = np.nonzero(ids < 0)
    slot = -1 - ids[where, column]
    ids[where, column] = _fillers(world, sentences.tier[form], rng)[slot, where]
    return ids, _weights(world, sentences.ids, kind)[form]


def _fillers(world: World, tier: Ints, rng: np.random.Generator) -> Ints:
    """Token id of every slot in every document: shape (slots, rows)."""
    rows = len(tier)
    advised = rng.integers(len(AGENTS), size=rows)
    other = (advised + rng.integers(1, len(AGENTS), size=rows)) % len(AGENTS)
    target, fact, named = _facts(world, tier, advised, rng)
    group = rng.integers(len(world.cues), size=rows)
    fact = np.where(tier == Tier.CUE, world.cue_truth(group, fact), fact)
    harm = _lookup(world, (SAFE, DANGEROUS))[fact // 2]
    use = _lookup(world, (WEAK, STRONG))[fact % 2]
    swap, turn = rng.integers(2, size=(2, rows)).astype(bool)
    agents = _lookup(world, AGENTS)
    cues = np.stack([_lookup(world, words) for words in world.cues])
    cue = cues[group, rng.integers(cues.shape[1], size=rows)]
    first, second = np.where(swap, advised, other), np.where(swap, other, advised)
    dose = _lookup(world, tuple(DOSES))[rng.integers(len(DOSES), size=rows)]
    values = [target, agents[first], agents[second], agents[advised], agents[other], dose, cue]
    values += [np.where(turn, harm, use), np.where(turn, use, harm)]
    values += [named, _lookup(world, AGENT_KINDS)[knowledge(world)["common"].agent_class[advised]]]
    return np.stack(values)
