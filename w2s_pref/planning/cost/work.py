"""What every kind of stage computes, from the lengths of a sample: tokens forward, backward, generated, and FLOPs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any, NamedTuple

import pandas as pd

from w2s_pref.engine.stage import Stage
from w2s_pref.models.info import ModelFacts
from w2s_pref.models.shapes import BYTES, Shape
from w2s_pref.models.shapes import shape as shape_of
from w2s_pref.stages.answers import JudgeStage, SampleStage
from w2s_pref.stages.arguments import Argued, Arguments, ArgumentStage, chain
from w2s_pref.stages.decoding import DecodedPolicy
from w2s_pref.stages.frozen import frozen_layers
from w2s_pref.stages.online import OnlinePolicyStage
from w2s_pref.stages.policies import LogProbStage, PairPolicyStage, PolicyScoreStage
from w2s_pref.stages.prompted import PromptedScores
from w2s_pref.stages.refined import RefinedScores
from w2s_pref.stages.rewards import ScoreStage, TrainStage
from w2s_pref.stages.rows import Rows
from w2s_pref.training.arguments import enlarged
from w2s_pref.training.methods import FOLDER

#: Pairs that are tokenised to know the lengths of all.
SAMPLE = 256

#: Prompt and answer in tokens where the pairs or the tokenizer are not here: about those of HH-RLHF's helpful half
#: (means of 129 and 63 in 600 pairs, a vocabulary of 4,096, texts cut at 512; its harmless half has 28 and 48).
ASSUMED = (150.0, 60.0)

#: Tokens of a templated argument: claims of the testbed have 7.2 on average and 8 at most under its own tokenizer.
CLAIM = 8.0

#: Methods that run the preferred answer of a pair alone, unless a conflict or a loss of the student reads the other.
PREFERRED_ONLY = frozenset({"sft", "wspo"})


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a pair.

    Attributes:
        prompt: tokens before the answers.
        answers: tokens of both answers.
        preferred: tokens of the one that the ground truth prefers.
        row: tokens computed for the pair, its shared beginning once.
        measured: False where nothing could be tokenised and the lengths are assumed.
    """

    prompt: float
    answers: float
    preferred: float
    row: float
    measured: bool = True

    @property
    def context(self) -> float:
        """What a token attends over, about: the prompt and one answer."""
        return self.prompt + self.answers / 2


def lengths(frame: pd.DataFrame, facts: ModelFacts, tokens: dict[str, Any], items: bool = False) -> Lengths:
    """Mean lengths of a sample of the pairs under a model's tokenizer.

    Args:
        tokens: ``max_length`` and ``overlong``, as every stage has them.
        items: the rows are a task's items, of one text each.
    """
    if facts.folder is None or not (frame["prompt"] + frame["b"]).str.len().sum():  # rows without content stand in
        return assumed(tokens["max_length"], items)
    from w2s_pref.data.tokens import item_ids, tokenize
    from w2s_pref.models.load import load_tokenizer

    sample = frame.sample(min(SAMPLE, len(frame)), random_state=0)
    tokenizer = load_tokenizer(facts.folder, facts.spec.pad_token, trust_remote_code=facts.spec.trust_remote_code)
    if items:
        mean = sum(map(len, item_ids(sample["prompt"].tolist(), tokenizer, tokens["max_length"]))) / len(sample)
        return Lengths(mean, 0.0, 0.0, mean)
    done = tokenize(sample, tokenizer, **{**tokens, "overlong": "truncate"}, starts=True)
    shared = [_shared(a, b) for a, b in zip(done.a_ids, done.b_ids, strict=True)]
    whole = [len(a) + len(b) for a, b in zip(done.a_ids, done.b_ids, strict=True)]
    prompts = [min(a, b) for a, b in zip(done.a_starts, done.b_starts, strict=True)]
    sides = [
        [len(ids) - start for ids, start in zip(*side, strict=True)]
        for side in ((done.a_ids, done.a_starts), (done.b_ids, done.b_starts))
    ]
    preferred = [a if first else b for a, b, first in zip(*sides, sample["truth"] == 1, strict=True)]
    rows, both = len(sample), sum(map(sum, sides))
    return Lengths(sum(prompts) / rows, both / rows, sum(preferred) / rows, (sum(whole) - sum(shared)) / rows)


def assumed(max_length: int | None, items: bool = False) -> Lengths:
    """Lengths like HH-RLHF's, within ``max_length``; an item is taken to be as long as a prompt and one answer."""
    prompt, answer = ASSUMED
    limit = float(max_length or prompt + answer)
    scale = min(1.0, limit / (prompt + answer))
    if items:
        return Lengths((prompt + answer) * scale, 0.0, 0.0, (prompt + answer) * scale, measured=False)
    return Lengths(prompt * scale, 2 * answer * scale, answer * scale, (prompt + 2 * answer) * scale, measured=False)


def said(rows: Rows) -> float:
    """Tokens of what a judge reads about a pair beside it, at most; 0 where nothing was argued."""
    if not isinstance(rows, Argued):
        return 0.0
    sides = 1 if "consultancy" in rows.transcript.protocol else 2
    return sides * sum(_longest(turn) for turn in chain(rows.transcript.last))


def _longest(turn: Arguments) -> float:
    """Tokens of one argument: of models at most, of templates about."""
    return float(turn.settings["max_new_tokens"]) if isinstance(turn, ArgumentStage) else CLAIM


def heard(rows: Rows, size: Lengths, max_length: int | None) -> Lengths:
    """Lengths of pairs as a reward model reads them that judges arguments: each text begins with the transcript.

    The two transcripts are told from different sides, so nothing is shared; a text over ``max_length`` loses its start.
    """
    if not isinstance(rows, Argued):
        return size
    told = said(rows) / (2 if rows.transcript.critique else 1)  # of critiques each text has its own side's
    text = size.prompt + told + size.answers / 2
    prompt = size.prompt + told - max(0.0, text - (max_length or text))
    return replace(size, prompt=prompt, row=2 * prompt + size.answers)


def _shared(a: Any, b: Any) -> int:
    """Tokens computed once for both answers: what they share from the start, all but the last token at most."""
    from w2s_pref.data.chat import same_start

    return min(same_start(a, b), len(a) - 1, len(b) - 1)


#: A backward pass costs two forward passes, one more with activation checkpointing.
BACKWARD = 2.0


class Work(NamedTuple):
    """Tokens and FLOPs of one stage, over all processes.

    ``pairs`` are passes over pairs (epochs counted) or texts, ``trained`` tokens go forward and backward, ``scored``
    only forward, ``generated`` one at a time.
    """

    pairs: float = 0.0
    trained: float = 0.0
    scored: float = 0.0
    generated: float = 0.0
    flops: float = 0.0


@singledispatch
def work(stage: Stage, shape: Shape, size: Lengths) -> Work:
    """What building the stage computes. Labels, analyses and formulas on scores cost nothing that counts here.

    Args:
        shape: of the stage's model.
        size: mean lengths of its pairs.
    """
    return Work()


@work.register
def _train(stage: TrainStage, shape: Shape, size: Lengths) -> Work:
    if not stage.parts:
        return Work()
    size = heard(stage.parts[0].rows, size, stage.tokens["max_length"])
    return _trained(seen_pairs(stage), shape, size, stage, logits=0.0)


@work.register
def _pairs(stage: PairPolicyStage, shape: Shape, size: Lengths) -> Work:
    told, answers = stage.objective, size.answers
    if told["name"] in PREFERRED_ONLY and not told.get("alpha") and not told.get("student"):
        answers = size.preferred
        size = replace(size, row=size.prompt + answers)
    return _trained(seen_pairs(stage), shape, size, stage, logits=answers)


@work.register
def _score(stage: ScoreStage, shape: Shape, size: Lengths) -> Work:
    size = heard(stage.on, size, stage.tokens["max_length"])
    return _scored(len(stage.on), stage.model.model, shape, size, logits=0.0)


@work.register
def _logprobs(stage: LogProbStage, shape: Shape, size: Lengths) -> Work:
    return _scored(len(stage.on), stage.policy.model, shape, size, logits=size.answers)


@work.register
def _samples(stage: SampleStage, shape: Shape, size: Lengths) -> Work:
    """At most: answers may end before ``max_new_tokens``. Of guided answers what the model that writes computes."""
    width = stage.policy.width if isinstance(stage.policy, DecodedPolicy) else 1
    new = float(stage.rows * width * stage.settings["max_new_tokens"])
    prompts = stage.rows * width * size.prompt
    return Work(stage.rows, 0.0, prompts, new, shape.forward_flops(prompts + new, size.context, new))


@work.register
def _argued(stage: ArgumentStage, shape: Shape, size: Lengths) -> Work:
    """At most: an argument for each answer, after the prompt, both answers and the turns before."""
    context = size.prompt + size.answers + 2 * sum(_longest(turn) for turn in chain(stage.before))
    new, before = float(stage.rows * stage.settings["max_new_tokens"]), stage.rows * context
    return Work(stage.rows, 0.0, before, new, shape.forward_flops(before + new, context, new))


@work.register
def _prompted(stage: PromptedScores, shape: Shape, size: Lengths) -> Work:
    """Both orders of the answers, with what was argued about them."""
    context = size.prompt + size.answers + said(stage.on)
    tokens = 2 * len(stage.on) * context
    return Work(len(stage.on), 0.0, tokens, 0.0, shape.forward_flops(tokens, context))


@work.register
def _refined(stage: RefinedScores, shape: Shape, size: Lengths) -> Work:
    """Each pair with the others of its batch, in both orders, with the labels and with shuffled ones."""
    context = stage.config.batch * (size.prompt + size.answers)
    tokens = 4 * len(stage.on) * context
    return Work(len(stage.on), 0.0, tokens, 0.0, shape.forward_flops(tokens, context))


@work.register
def _judged(stage: JudgeStage, shape: Shape, size: Lengths) -> Work:
    """Every answer under each gold model, and under the reference unless that wrote it; each by its own size."""
    new = stage.rows * stage.samples.settings["max_new_tokens"]
    again = [] if stage.samples.policy.key == stage.reference.key else [stage.reference.model]
    readers = [*((gold.model, 0) for gold in stage.gold.values()), *((facts, new) for facts in again)]
    read = stage.rows * size.prompt + new
    flops = sum(_own(facts, shape).forward_flops(read, size.context, logits) for facts, logits in readers)
    return Work(stage.rows * len(readers), 0.0, read * len(readers), 0.0, flops)


def _own(facts: ModelFacts, other: Shape) -> Shape:
    """A model's own shape, where it is known."""
    return shape_of(facts) or other


@work.register
def _online(stage: OnlinePolicyStage, shape: Shape, size: Lengths) -> Work:
    """Answers are generated, scored by policy, reference and reward (PPO: and value model), and trained on."""
    given = stage.arguments
    new = float(given.get("response_length") or given.get("max_completion_length") or 64)
    texts, passes = _episodes(stage)
    models = 2 if stage.algorithm == "ppo" else 1
    once, judges = size.prompt + new, _judges(stage)
    scored = texts * once * models
    trained = texts * once * passes * (2 if stage.algorithm == "ppo" else 1)
    tokens = scored + texts * once + (1 + BACKWARD) * trained
    logits = texts * new * (models + 1 + (1 + BACKWARD) * passes)
    flops = shape.forward_flops(tokens, once, logits)
    flops += sum(
        _own(facts, shape).forward_flops(texts * once, once, texts * new if whole else 0.0) for facts, whole in judges
    )
    return Work(texts, trained, scored + texts * once * len(judges), texts * new, flops)


def _judges(stage: OnlinePolicyStage) -> list[tuple[ModelFacts, bool]]:
    """The models that a reward reads answers with; True: for their log-probabilities. A saved one counts as the policy.

    Functions and random rewards have none.
    """
    found: list[tuple[ModelFacts, bool]] = []
    for source in (reward.source for reward in stage.rewards):
        if isinstance(source, ScoreStage):
            found.append((source.model.model, False))
        elif isinstance(source, PolicyScoreStage):
            tables = [each for each in (source.logprobs, source.reference) if isinstance(each, LogProbStage)]
            found += [(each.policy.model, True) for each in tables]
        elif isinstance(source, str) and source.startswith(FOLDER):
            found.append((stage.model, False))
    return found


def _episodes(stage: OnlinePolicyStage) -> tuple[float, float]:
    """Answers in all, and passes over each."""
    given = stage.arguments
    if stage.algorithm == "ppo":
        return float(given["total_episodes"]), float(given["num_ppo_epochs"])
    group = given.get("num_generations") or 8
    texts = float(given["num_train_epochs"]) * stage.rows * float(group)
    if (given.get("max_steps") or -1) > 0:
        texts = float(given["max_steps"] * given["batch_size"])
    return texts, float(given.get("num_iterations") or 1)


def seen_pairs(stage: TrainStage | PairPolicyStage) -> float:
    """Pairs that a training goes through, every epoch counted; mixtures see as much in the same number of updates."""
    epochs = float(stage.arguments["num_train_epochs"])
    if not (stage.match_updates and len(stage.parts) > 1):
        return epochs * stage.rows
    first, batch = len(stage.parts[0].rows), stage.arguments["batch_size"]
    return float(epochs * first * enlarged(batch, stage.rows / first) / batch)


def _trained(pairs: float, shape: Shape, size: Lengths, stage: TrainStage | PairPolicyStage, logits: float) -> Work:
    return passes_over(pairs, shape, size, stage.arguments, computed_share(stage.model, shape), logits)


def passes_over(
    pairs: float, shape: Shape, size: Lengths, arguments: dict[str, Any], share: float, logits: float = 0.0
) -> Work:
    """A training on so many pairs or items, epochs counted: forward and backward through a share of the layers."""
    again = bool(arguments.get("activation_checkpointing"))
    passes = 1.0 + BACKWARD + (1.0 if again else 0.0)
    tokens = pairs * size.row
    return Work(pairs, tokens, 0.0, 0.0, passes * shape.forward_flops(tokens, size.context, pairs * logits, share))


def computed_share(facts: ModelFacts, shape: Shape) -> float:
    """The part of the layers that a student computes itself: states behind frozen ones are read."""
    return 1 - frozen_layers(facts) / shape.layers


def _scored(pairs: float, facts: ModelFacts, shape: Shape, size: Lengths, logits: float) -> Work:
    tokens = pairs * size.row
    flops = shape.forward_flops(tokens, size.context, pairs * logits, computed_share(facts, shape))
    return Work(pairs, 0.0, tokens, 0.0, flops)


def states(facts: ModelFacts, pairs: float, shape: Shape, size: Lengths) -> tuple[float, float]:
    """Bytes and FLOPs of the states behind frozen layers, of so many pairs; computed once, whoever reads them."""
    tokens = pairs * size.row
    flops = shape.forward_flops(tokens, size.context, share=1 - computed_share(facts, shape))
    return tokens * shape.hidden * BYTES.get(facts.spec.dtype, 4), flops
