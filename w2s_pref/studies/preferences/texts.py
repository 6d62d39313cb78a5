"""What the models of a study can read of its texts, told before anything is built. Loads tokenizers, and no weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.data.chat import plain
from w2s_pref.models.info import ModelFacts
from w2s_pref.models.positions import has_class, positions
from w2s_pref.models.tokenizer_file import TokenizerFile, tokenizer_file
from w2s_pref.stages.arguments import ArgumentStage
from w2s_pref.stages.asked import too_long
from w2s_pref.stages.policies import PolicyStage
from w2s_pref.stages.prompted import PromptedScores
from w2s_pref.stages.refined import RefinedScores
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.stages.rows import Rows

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from w2s_pref.studies.preferences.study import Study

#: Pairs of a split that are looked at, and characters of each text: shares of tokens need no more.
PAIRS, CHARACTERS = 200, 4000
#: Shares of unknown tokens above which a model cannot read a text, and above which its reading is said to suffer.
UNREADABLE, POOR = 0.2, 0.02
#: A difference between the better and the other answer is said from this share on, where it is no accident: three
#: standard errors over pairs leave one in 370 of equal sets.
UNEQUAL, ERRORS = 0.02, 3.0
#: Tokenizers that spell any text, byte by byte.
BYTEWISE = "those of GPT-2, OPT, Llama, Qwen, Mistral"


class Unknown(NamedTuple):
    """Share of unknown tokens in a split; by how much that of the better answers exceeds the others', and its error."""

    share: float
    unequal: float
    error: float


@dataclass(frozen=True)
class Reader:
    """A tokenizer as its files hold it: ``unknown`` is the id of what it does not know, None where that cannot be."""

    tokenizer: Tokenizer
    size: int
    unknown: int | None


def check_texts(study: Study) -> list[str]:
    """Refuse what would end or spoil a run: texts that a model cannot read, or has no positions for.

    Returns:
        What should be known, one sentence each.

    Raises:
        W2SError: every such model.
    """
    problems: list[str] = []
    notes: list[str] = []
    used = {stage.model.spec.path for stage in study.trained.values()}
    named = {name: facts for name, facts in study.models.items() if facts.spec.path in used}
    splits = [rows for name, rows in study.rows.items() if "/" not in name]
    read = {name: reader(facts) for name, facts in named.items()}
    for name, facts in named.items():
        problems += _heads(study, name, facts)
        problems += _too_long(study, name, facts, read[name], splits)
        notes += _grown(name, facts, read[name])
    problems += _questions(study)
    shares = _shares({name: (named[name], found) for name, found in read.items() if found is not None}, splits)
    able = [name for name, by in shares.items() if all(each.share <= POOR for each in by.values())]
    allowed = study.recipe.data.unknown_tokens == "warn"
    for name, by in shares.items():
        worst = max(by, key=lambda split: by[split].share)
        if by[worst].share > POOR:
            said = f"models.{name}: {by[worst].share:.0%} of the tokens of {worst} are unknown to its tokenizer"
            (problems if by[worst].share > UNREADABLE and not allowed else notes).append(
                _unreadable(said, by[worst], able)
            )
        notes += _unequal(name, by)
    if problems:
        raise W2SError(list(dict.fromkeys(problems)))
    return list(dict.fromkeys(notes))


def reader(facts: ModelFacts) -> Reader | None:
    """A model's tokenizer; None where its files are not here, or hold none that can be read without its own code."""
    file = tokenizer_file(facts.tokenizer_folder)
    return None if file is None else _reader(file, facts.spec.pad_token)


@lru_cache(maxsize=8)
def _reader(file: TokenizerFile, pad_token: str | None) -> Reader:
    """Read once: it is asked for by every check of every part of the data."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file.path))
    except Exception as error:  # tokenizers raises nothing more special
        raise W2SError(
            f"model {str(file.path.parent)!r} could not be loaded ({file.path.name}: {error}); check its files"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = tokenizer.get_vocab(with_added_tokens=True)
    size = max(ids.values(), default=-1) + 1 + (pad_token is not None and pad_token not in ids)
    return Reader(tokenizer, size, ids.get(file.unknown) if file.unknown is not None else None)


def _shares(read: Mapping[str, tuple[ModelFacts, Reader]], splits: list[Rows]) -> dict[str, dict[str, Unknown]]:
    """Model -> what its tokenizer does not know of each split; models often share one."""
    by_tokenizer = {facts.tokenizer_hash: found for facts, found in read.values()}
    unknown = {of: _unknown(found, splits) for of, found in by_tokenizer.items()}
    return {name: unknown[facts.tokenizer_hash] for name, (facts, _) in read.items()}


def _unknown(found: Reader, splits: list[Rows]) -> dict[str, Unknown]:
    """Split -> what of its texts a tokenizer does not know."""
    if found.unknown is None:
        return {rows.name: Unknown(0.0, 0.0, 0.0) for rows in splits}
    return {rows.name: _unknown_of(found, rows.frame.head(PAIRS)) for rows in splits}


def _unknown_of(found: Reader, frame: pd.DataFrame) -> Unknown:
    first = frame["truth"] == 1
    chosen, rejected = frame["a"].where(first, frame["b"]), frame["b"].where(first, frame["a"])
    counts = [_counts(found, words(frame["form"], texts)) for texts in (frame["prompt"], chosen, rejected)]
    together = sum(counts)
    shares = [count[:, 0] / np.maximum(count[:, 1], 1) for count in counts[1:]]
    gaps = shares[0] - shares[1]
    error = float(gaps.std(ddof=1) / len(gaps) ** 0.5) if len(gaps) > 1 else float("inf")
    unknown, tokens = np.asarray(together).sum(axis=0)
    return Unknown(float(unknown / max(tokens, 1)), float(gaps.mean()), error)


def _counts(found: Reader, texts: list[str]) -> Floats:
    """(N, 2): unknown tokens and all tokens of each text."""
    encoded = found.tokenizer.encode_batch([text[:CHARACTERS] for text in texts], add_special_tokens=False)
    unknown = -1 if found.unknown is None else found.unknown
    counts = [[each.ids.count(unknown), len(each.ids)] for each in encoded]
    return np.array(counts, dtype=np.float64).reshape(-1, 2)


def words(forms: pd.Series[str], texts: pd.Series[str]) -> list[str]:
    """Texts as models read them, conversations without a template's marks."""
    both = zip(forms.tolist(), texts.tolist(), strict=True)
    return [plain(json.loads(text)) if form == "chat" else text for form, text in both]


def _unreadable(said: str, unknown: Unknown, able: list[str]) -> str:
    if unknown.share <= UNREADABLE:
        return f"{said}: what it does not know it cannot tell apart"
    others = f"{', '.join(f'models.{name}' for name in able)} of this recipe can; so can" if able else "Take"
    return (
        f"{said}: it cannot read these texts. {others} a model whose tokenizer spells any text, such as {BYTEWISE}; or "
        "write data.unknown_tokens: warn"
    )


def _unequal(name: str, by: Mapping[str, Unknown]) -> Iterator[str]:
    for split, each in by.items():
        if abs(each.unequal) > max(UNEQUAL, ERRORS * each.error):
            more, less = ("better", "other") if each.unequal > 0 else ("other", "better")
            yield (
                f"models.{name}: of {split}'s answers the {more} ones have {abs(each.unequal):.1%} more unknown tokens "
                f"than the {less} ones: its tokenizer tells them apart by that alone"
            )


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
