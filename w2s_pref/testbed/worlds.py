"""Two worlds told in the same sentences, ``small`` and ``large``: their words, how facts are spread, the tokenizer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from w2s_pref.core.errors import W2SError
from w2s_pref.testbed.words import (
    AGENT_KINDS,
    AGENTS,
    ALARMS,
    ANSWERS,
    ANTIQUES,
    BASES,
    BLENDS,
    BOS,
    CALMS,
    CUES,
    DANGEROUS,
    DOSES,
    EOS,
    EXTRA,
    FURNITURE,
    MAX_LENGTH,
    PAD,
    PROMPTS,
    RELICS,
    SAFE,
    STRONG,
    SURFACES,
    TARGET_KINDS,
    UNK,
    WEAK,
    split,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Whole = TypeVar("Whole", int, NDArray[np.int64])
"""One number, or one a document."""


@dataclass(frozen=True)
class Topic:
    """One table of facts.

    Attributes:
        name: ``common``, ``mix`` or ``rare``.
        targets: words of the rows.
        target_classes: number of hidden classes of the targets, a multiple of 4; as many as targets: none at all.
        agent_classes: number of hidden classes of the agents, a multiple of 4.
        spread: how many times as often pre-training text speaks of the first target as of the last; between them the
            logarithm falls evenly.
    """

    name: str
    targets: tuple[str, ...]
    target_classes: int
    agent_classes: int
    spread: float = 1.0


@dataclass(frozen=True, eq=False)  # there is one object a world, and its hash is asked for with every fact
class World:
    """What sets one world apart from the other; no two worlds share a target, so a target tells the world.

    Attributes:
        name: as ``generate(world=...)`` and a recipe's ``options: {world: ...}`` say it.
        seed: fixes every fact; row seeds only draw chats.
        topics: the tables of facts.
        cues: adjectives of tier 0: harmless and dangerous ones, or four sets in the order of 2 * dangerous + useful.
        kinds: names that pre-training text gives to the hidden classes of common targets.
        tier_weights: how often pre-training text speaks of each tier.
        end: what stands between a statement of that text and its verdicts: nothing, or ``</s>`` as in chats, so that
            what statements teach stands where that of chats is read.
    """

    name: str
    seed: int
    topics: tuple[Topic, ...]
    cues: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]
    tier_weights: tuple[float, ...]
    end: str

    def topic(self, name: str) -> Topic:
        """One topic by its name."""
        return next(topic for topic in self.topics if topic.name == name)

    def cue_truth(self, number: Whole, fact: Whole) -> Whole:
        """2 * dangerous + useful under an adjective of set ``number``, of something for which ``fact`` holds."""
        return number if len(self.cues) == 4 else 2 * number + fact % 2


SMALL = World(
    "small",
    20240611,
    (Topic("common", SURFACES, 4, 8), Topic("mix", BASES, 48, 48), Topic("rare", RELICS, 40, 48)),
    (CALMS, ALARMS),
    TARGET_KINDS[:4],
    (0.05, 0.25, 0.27, 0.20, 0.23),
    end="",
)
LARGE = World(
    "large",
    20261127,
    (Topic("common", FURNITURE, 8, 8), Topic("mix", BLENDS, 16, 16, 16.0), Topic("rare", ANTIQUES, 40, 48, 16.0)),
    CUES,
    TARGET_KINDS,
    (0.05, 0.20, 0.25, 0.30, 0.20),
    end=EOS,
)
WORLDS: dict[str, World] = {world.name: world for world in (SMALL, LARGE)}


def find_world(name: str) -> World:
    """A world by its name.

    Raises:
        W2SError: there is none of this name.
    """
    if name not in WORLDS:
        raise W2SError(f"world is {name!r}; it must be one of {', '.join(WORLDS)}")
    return WORLDS[name]


@lru_cache(maxsize=1)
def target_index() -> dict[str, tuple[World, str, int]]:
    """Target word of any world -> (world, topic name, row of its table)."""
    return {
        word: (world, topic.name, row)
        for world in WORLDS.values()
        for topic in world.topics
        for row, word in enumerate(topic.targets)
    }


@lru_cache(maxsize=len(WORLDS))
def cue_index(world: World) -> dict[str, int]:
    """Adjective -> number of its set in ``world.cues``."""
    return {word: number for number, group in enumerate(world.cues) for word in group}


@lru_cache(maxsize=len(WORLDS))
def vocabulary(world: World = SMALL) -> dict[str, int]:
    """Token -> id; the four special tokens come first."""
    common, mix, rare = (topic.targets for topic in world.topics)
    known = [PAD, BOS, EOS, UNK, DANGEROUS, SAFE, STRONG, WEAK]
    known += [*DOSES, *common, *mix, *AGENTS, *rare]
    known += [word for group in reversed(world.cues) for word in group]
    forms = [form for group in (*PROMPTS, *ANSWERS) for form in group]
    known += [*world.kinds, *AGENT_KINDS]
    known += [word for form in forms for word in split(re.sub(r"\{\w+\}", " ", form))]
    return {word: number for number, word in enumerate(dict.fromkeys([*known, *EXTRA]))}


def build_tokenizer(world: World = SMALL) -> PreTrainedTokenizerFast:
    """The tokenizer as the ordinary library class; it adds no special token by itself."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel(vocab=vocabulary(world), unk_token=UNK))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), behavior="removed", invert=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, bos_token=BOS, eos_token=EOS, unk_token=UNK, model_max_length=MAX_LENGTH
    )
