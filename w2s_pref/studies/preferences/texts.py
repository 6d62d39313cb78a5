"""What the models of a study can read of its texts, told before anything is built. Loads tokenizers, and no weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.models.info import ModelFacts
from w2s_pref.models.positions import has_class, positions
from w2s_pref.models.tokenizer_file import tokenizer_file
from w2s_pref.models.unknown import (
    PAIRS,
    POOR,
    UNREADABLE,
    Reader,
    Unknown,
    reader_of,
    unequal,
    unknown_of,
    unreadable,
    words,
)
from w2s_pref.stages.arguments import ArgumentStage
from w2s_pref.stages.asked import too_long
from w2s_pref.stages.online import OnlinePolicyStage
from w2s_pref.stages.policies import LogProbStage, PolicyScoreStage, PolicyStage
from w2s_pref.stages.prompted import PromptedScores
from w2s_pref.stages.refined import RefinedScores
from w2s_pref.stages.rewards import ScoreStage, TrainStage
from w2s_pref.stages.rows import Rows

if TYPE_CHECKING:
    from w2s_pref.studies.preferences.study import Study


def check_texts(study: Study) -> list[str]:
    """Refuse what would end or spoil a run: texts that a model cannot read, or has no positions for.

    Returns:
        What should be known, one sentence each.

    Raises:
        W2SError: every such model.
    """
    problems: list[str] = []
    notes: list[str] = []
    used = {facts.spec.path for facts in _readers(study)}
    named = {name: facts for name, facts in study.models.items() if facts.spec.path in used}
    splits = [rows for name, rows in study.rows.items() if "/" not in name]
    read = {name: reader(facts) for name, facts in named.items()}
    for name, facts in named.items():
        problems += _heads(study, name, facts)
        problems += _too_long(study, name, facts, read[name], splits)
        notes += _grown(name, facts, read[name])
    problems += _answers(study)
    problems += _questions(study)
    shares = _shares({name: (named[name], found) for name, found in read.items() if found is not None}, splits)
    able = [f"models.{name}" for name, by in shares.items() if all(each.share <= POOR for each in by.values())]
    allowed = study.recipe.data.unknown_tokens == "warn"
    for name, by in shares.items():
        worst = max(by, key=lambda split: by[split].share)
        if by[worst].share > POOR:
            refused = by[worst].share > UNREADABLE and not allowed
            said = unreadable(f"models.{name}", worst, by[worst], able, "write data.unknown_tokens: warn")
            (problems if refused else notes).append(said)
        notes += [said for split, each in by.items() for said in unequal(f"models.{name}", split, each)]
    if problems:
        raise W2SError(list(dict.fromkeys(problems)))
    return list(dict.fromkeys(notes))


def _readers(study: Study) -> Iterator[ModelFacts]:
    """Models that read the pairs: those that are trained, and what policies are compared with."""
    for stage in (*study.trained.values(), *study.decoded.values()):
        yield stage.model
        if not isinstance(stage, TrainStage):
            yield stage.reference.model


def reader(facts: ModelFacts) -> Reader | None:
    """A model's tokenizer; None where its files are not here, or hold none that can be read without its own code."""
    file = tokenizer_file(facts.tokenizer_folder)
    return None if file is None else reader_of(file, facts.spec.pad_token)


def _shares(read: Mapping[str, tuple[ModelFacts, Reader]], splits: list[Rows]) -> dict[str, dict[str, Unknown]]:
    """Model -> what its tokenizer does not know of each split; models often share one."""
    by_tokenizer = {facts.tokenizer_hash: found for facts, found in read.values()}
    unknown = {of: {rows.name: unknown_of(found, rows.frame) for rows in splits} for of, found in by_tokenizer.items()}
    return {name: unknown[facts.tokenizer_hash] for name, (facts, _) in read.items()}


def _heads(study: Study, name: str, facts: ModelFacts) -> Iterator[str]:
    kind = facts.config.get("model_type")
    stages = [stage for stage in study.trained.values() if stage.model is facts]
    needs = {
        "reward": ("SEQUENCE_CLASSIFICATION", any(isinstance(stage, TrainStage) for stage in stages)),
        "policy": ("CAUSAL_LM", any(isinstance(stage, PolicyStage) for stage in stages)),
    }
    for role, (head, needed) in needs.items():
        own = "auto_map" in facts.config and facts.spec.trust_remote_code
        if needed and kind and not own and has_class(str(kind), head) is False:
            yield (
                f"models.{name}: transformers has no {role} model of type {kind!r} "
                f"(no {head.lower().replace('_', ' ')} head); take another model"
            )


def _too_long(study: Study, name: str, facts: ModelFacts, found: Reader | None, splits: list[Rows]) -> Iterator[str]:
    limit, wanted = positions(facts.config), study.recipe.data.max_length
    if limit is None or wanted <= limit:
        return
    for rows in splits:
        long = None if found is None else _longest(found, rows, limit)
        if long is None or long[1] > limit:
            what = "texts may be longer" if long is None else f"pair {long[0]} of {rows.name} has {long[1]:,} tokens"
            yield (
                f"models.{name} has positions for {limit:,} tokens ({facts.config.get('model_type')}), but "
                f"data.max_length is {wanted:,}, and {what}: set data.max_length to {limit:,} or less"
            )
            return


def _answers(study: Study) -> Iterator[str]:
    """Nobody knows beforehand how long the answers are that a policy writes, so whoever reads them must have room."""
    for writer, by in _written(study):
        longest = min(study.recipe.data.max_length, writer.context or study.recipe.data.max_length)
        limit = positions(by.config)
        if limit is not None and limit < longest:
            yield (
                f"model {by.spec.path!r} has positions for {limit:,} tokens ({by.config.get('model_type')}), and reads "
                f"answers of {writer.spec.path!r}, of up to {longest:,} tokens with their prompts: set data.max_length "
                f"to {limit:,} or less"
            )


def _written(study: Study) -> Iterator[tuple[ModelFacts, ModelFacts]]:
    """Models that write answers, each with every one that reads them: judges, references, rewards, other policies."""
    for judged in study.judged.values():
        for judge in (judged.reference, *judged.gold.values()):
            yield judged.samples.policy.model, judge.model
    for stage in study.trained.values():
        if isinstance(stage, OnlinePolicyStage):
            yield stage.model, stage.reference.model
            for reward in stage.rewards:
                if isinstance(reward.source, ScoreStage):
                    yield stage.model, reward.source.model.model
                elif isinstance(reward.source, PolicyScoreStage) and isinstance(reward.source.logprobs, LogProbStage):
                    yield stage.model, reward.source.logprobs.policy.model
    if study.rounds:
        policies = [stage.model for stage in study.trained.values() if isinstance(stage, PolicyStage)]
        yield from product(policies, policies)


def _longest(found: Reader, rows: Rows, limit: int) -> tuple[str, int] | None:
    """The id of the pair with the longest text, and its tokens with one more for the end, of texts that may be long."""
    frame = rows.frame
    texts = [
        (row_id, prompt + answer)
        for answers in (frame["a"], frame["b"])
        for row_id, prompt, answer in zip(
            frame["id"], words(frame["form"], frame["prompt"]), words(frame["form"], answers), strict=True
        )
        if len((prompt + answer).encode()) >= limit - 2  # no token is shorter than a byte; two are the tokenizer's own
    ]
    encoded = found.tokenizer.encode_batch([text for _, text in texts])
    lengths = [(row_id, len(each.ids) + 1) for (row_id, _), each in zip(texts, encoded, strict=True)]
    return max(lengths, key=lambda item: item[1], default=("", 0))


def _questions(study: Study) -> Iterator[str]:
    """Models that are asked about pairs must be able to read what they are asked."""
    labelled = [labels.scores for labels in study.labels.values()]
    asked = [*study.scores.values(), *labelled, *study.arguments.values()]
    seen: set[tuple[str, str]] = set()
    for stage in asked:
        if not isinstance(stage, PromptedScores | RefinedScores | ArgumentStage):
            continue
        model, texts = stage.start.model, stage.foreseen(PAIRS)
        found, about = reader(model), (model.hash, digest(str(stage.room), *texts))
        if found is None or stage.room is None or about in seen:
            continue
        seen.add(about)
        long = sum(len(each.ids) > stage.room for each in found.tokenizer.encode_batch(texts))
        if problem := too_long(stage.name, long, len(texts), stage.room, stage.lower):
            yield problem


def _grown(name: str, facts: ModelFacts, found: Reader | None) -> Iterator[str]:
    rows = facts.config.get("vocab_size") or (facts.config.get("text_config") or {}).get("vocab_size")
    if found is None or not isinstance(rows, int):
        return
    new = found.size - rows
    if new > 1:
        yield (
            f"models.{name}: its tokenizer has {found.size:,} tokens, and the model vectors for {rows:,}: {new:,}, "
            "more than a pad token, start from random vectors; is this the model's own tokenizer?"
        )
