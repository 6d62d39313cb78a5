"""How long the texts are, from a sample of the pairs: tokens that a pair costs, of its prompt and of its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from w2s_pref.models.info import ModelFacts

#: Pairs that are tokenised to know the lengths of all.
SAMPLE = 256

#: Prompt and answer in tokens where the pairs or the tokenizer are not here: about those of HH-RLHF's helpful half
#: (means of 129 and 63 in 600 pairs, a vocabulary of 4,096, texts cut at 512; its harmless half has 28 and 48).
ASSUMED = (150.0, 60.0)


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a pair.

    Attributes:
        prompt: tokens before the answers.
        answers: tokens of both answers.
        row: tokens computed for the pair, its shared beginning once.
        measured: False where nothing could be tokenised and the lengths are assumed.
    """

    prompt: float
    answers: float
    row: float
    measured: bool = True

    @property
    def context(self) -> float:
        """What a token attends over, about: the prompt and one answer."""
        return self.prompt + self.answers / 2


def lengths(frame: pd.DataFrame, facts: ModelFacts, tokens: dict[str, Any]) -> Lengths:
    """Mean lengths of a sample of the pairs under a model's tokenizer.

    Args:
        tokens: ``max_length`` and ``overlong``, as every stage has them.
    """
    if facts.folder is None or not len(frame) or not frame["prompt"].str.len().sum():
        return assumed(tokens["max_length"])
    from w2s_pref.data.tokens import tokenize
    from w2s_pref.models.load import load_tokenizer

    sample = frame.sample(min(SAMPLE, len(frame)), random_state=0)
    tokenizer = load_tokenizer(facts.folder, facts.spec.pad_token, trust_remote_code=facts.spec.trust_remote_code)
    done = tokenize(sample, tokenizer, **{**tokens, "overlong": "truncate"}, starts=True)
    shared = [_shared(a, b) for a, b in zip(done.a_ids, done.b_ids, strict=True)]
    whole = [len(a) + len(b) for a, b in zip(done.a_ids, done.b_ids, strict=True)]
    prompts = [min(a, b) for a, b in zip(done.a_starts, done.b_starts, strict=True)]
    answers = [total - a - b for total, a, b in zip(whole, done.a_starts, done.b_starts, strict=True)]
    rows = len(sample)
    return Lengths(sum(prompts) / rows, sum(answers) / rows, (sum(whole) - sum(shared)) / rows)


def assumed(max_length: int | None) -> Lengths:
    """Lengths like HH-RLHF's, within ``max_length``."""
    prompt, answer = ASSUMED
    limit = float(max_length or prompt + answer)
    scale = min(1.0, limit / (prompt + answer))
    return Lengths(prompt * scale, 2 * answer * scale, (prompt + 2 * answer) * scale, measured=False)


def _shared(a: Any, b: Any) -> int:
    """Tokens computed once for both answers: what they share from the start, all but the last token at most."""
    from w2s_pref.data.chat import same_start

    return min(same_start(a, b), len(a) - 1, len(b) - 1)
