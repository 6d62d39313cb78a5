"""Answers of a frozen model that a smaller one guides: chunk-level beam search, and emulated fine-tuning.

Both go by what training did to the small model, log π_w,tuned − log π_w,untuned, and train nothing. The search (Zhou et
al. 2024, arXiv 2405.19262) reads it of texts, so the two sides may have different tokenizers; emulated fine-tuning
(Mitchell et al. 2023, arXiv 2310.12962) adds it to the large model's log-probabilities token by token.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from w2s_pref.core.arrays import Bools, Floats, Ints
from w2s_pref.data.tokens import answer_ids
from w2s_pref.models.batches.read import count_forward
from w2s_pref.models.batches.wrapped import inner
from w2s_pref.models.boundaries import Ids, answer_texts, cut_at_end
from w2s_pref.models.generation import Drawn, padded, seeded
from w2s_pref.models.scoring import logprob_ids


class Guide(NamedTuple):
    """A small policy and what it was before its training; ``max_length`` limits the texts that it reads."""

    tuned: PreTrainedModel
    untuned: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_length: int | None

    def score(self, asked: pd.DataFrame, texts: list[str], ended: list[bool]) -> Floats:
        """(n,) log π_w,tuned − log π_w,untuned of each answer, in nats, under the guide's own tokenizer.

        Args:
            asked: the answers' prompts, columns ``form`` and ``prompt``.
            ended: False for an answer that goes on: its end is not scored.
        """
        ids, starts = answer_ids(asked, texts, ended, self.tokenizer, self.max_length)
        pad = self.tokenizer.pad_token_id
        tuned, untuned = (logprob_ids(model, ids, starts, pad) for model in (self.tuned, self.untuned))
        difference: Floats = tuned - untuned
        return difference


def best_beams(scores: Floats, ended: Bools, beams: int) -> Ints:
    """(n, W, K) scores of W beams' K successors -> (n, beams) places of the best among the W·K, best first.

    Args:
        ended: (n, W, K) True for successors of a beam that had ended: they are the beam itself, and one of them counts.
    """
    copies = ended & (np.arange(scores.shape[2]) > 0)
    values = np.where(copies, -np.inf, scores).reshape(len(scores), -1)
    order: Ints = np.argsort(-values, axis=1, kind="stable")[:, :beams]
    return order


@dataclass
class _Beams:
    """What is held while a batch is searched for: a row for each successor, those of a beam and of a prompt in turn.

    ``spent`` counts the tokens drawn for each prompt.
    """

    asked: pd.DataFrame
    starts: list[Ids]
    answers: list[Ids]
    ended: Bools
    scores: Floats
    spent: Ints

    def extend(self, new: list[Ids], ends: list[int]) -> list[int]:
        """Put one chunk behind every answer that has not ended; the rows that grew."""
        grown = np.flatnonzero(~self.ended).tolist()
        for row in grown:
            more = cut_at_end(new[row], ends)
            self.answers[row] = self.answers[row] + more
            self.ended[row] = more[-1] in ends
            self.spent[row * len(self.spent) // len(self.answers)] += len(more)
        return grown

    def take(self, rows: list[int]) -> None:
        """Go on with these rows in the place of all; a prompt keeps its own."""
        self.answers = [self.answers[row] for row in rows]
        self.ended, self.scores = self.ended[rows], self.scores[rows]


@dataclass(frozen=True)
class Search:
    """Chunk-level beam search: a ``generation.Drawer``.

    Each of ``beams`` answers gets ``successors`` continuations of ``chunk`` tokens from the model; of all of these, and
    of the beams that have ended, the ``beams`` that the guide scores highest are kept. The first round draws beams x
    successors times from the prompt. One beam whose chunk is a whole answer gives the best of ``successors`` answers.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    guide: Guide
    beams: int
    successors: int
    chunk: int

    @property
    def width(self) -> int:
        """Sequences held for each answer."""
        return self.beams * self.successors

    def __call__(self, asked: pd.DataFrame, starts: list[Ids], config: GenerationConfig, seed: int) -> Drawn:
        """See ``generation.Drawer``. ``drawn``: the model's tokens that went into each answer's choice."""
        place = np.arange(len(starts) * self.width) // self.width
        rows, n = len(place), len(starts)
        asked, before = asked.iloc[place].reset_index(drop=True), [starts[at] for at in place]
        beams = _Beams(
            asked, before, [[] for _ in before], np.zeros(rows, bool), np.zeros(rows), np.zeros(n, dtype=np.int64)
        )
        ids, mask = padded(self.model, before, config)
        cache, left = None, int(config.max_new_tokens)
        with seeded(self.model, config, seed):
            while left and not beams.ended.all():
                more = self._continued(ids, mask, cache, min(self.chunk, left))
                new, had_ended = more.sequences[:, ids.shape[1] :], beams.ended.copy()
                self._score(beams, beams.extend(new.tolist(), list(config.eos_token_id)))
                shape = (n, self.beams, self.successors)
                best = best_beams(beams.scores.reshape(shape), had_ended.reshape(shape), self.beams)
                kept = np.repeat(best + np.arange(n)[:, None] * self.width, self.successors, axis=1).ravel()
                beams.take(kept.tolist())
                at = torch.from_numpy(kept).to(ids.device)
                ids, cache = more.sequences[at], more.past_key_values
                cache.reorder_cache(at)
                mask = torch.cat([mask, mask.new_ones(new.shape)], dim=1)  # of one prompt all rows are masked alike
                left -= new.shape[1]
        first = range(0, rows, self.width)
        more_columns = {"drawn": beams.spent, "candidates": self.width, "guide": beams.scores[first]}
        return Drawn([beams.answers[row] for row in first], np.full(n, np.nan), more_columns)

    def _continued(self, ids: Tensor, mask: Tensor, cache: Any, tokens: int) -> Any:
        """One chunk behind every row, drawn in one batch, so that the draws do not depend on what has ended."""
        given = {} if cache is None else {"past_key_values": cache}
        return self.model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=tokens, return_dict_in_generate=True, **given
        )

    def _score(self, beams: _Beams, rows: list[int]) -> None:
        """The guide's score of these rows as they are now."""
        answers, before = [beams.answers[row] for row in rows], [beams.starts[row] for row in rows]
        asked = beams.asked.iloc[rows].reset_index(drop=True)
        texts = answer_texts(self.tokenizer, asked["form"].tolist(), before, answers)
        beams.scores[rows] = self.guide.score(asked, texts, beams.ended[rows].tolist())


class _Along:
    """Log-probabilities of the next token under a causal model, along texts that grow by a token; keys are kept."""

    def __init__(self, model: PreTrainedModel, mask: Tensor) -> None:
        self.model, self.mask, self.cache, self.seen = model, mask, None, 0
        self.takes = set(inspect.signature(inner(model).forward).parameters)

    def __call__(self, ids: Tensor) -> Tensor:
        """(n, length) ids -> (n, vocabulary), float32."""
        new = ids[:, self.seen :]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(ids), ids.shape[1] - self.mask.shape[1])], dim=1)
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)[:, self.seen :]
        more = {"position_ids": positions, "logits_to_keep": 1}
        given = {name: value for name, value in more.items() if name in self.takes}
        count_forward(new.numel(), int(self.mask[:, self.seen :].sum()))
        done = self.model(input_ids=new, attention_mask=self.mask, past_key_values=self.cache, use_cache=True, **given)
        self.cache, self.seen = done.past_key_values, ids.shape[1]
        logits: Tensor = done.logits
        return logits[:, -1].float().log_softmax(-1)


class _Emulated(LogitsProcessor):  # type: ignore[misc]
    """Adds β (log π_w,tuned − log π_w,untuned) to the model's logits, and notes log π of what is drawn from the sum."""

    def __init__(self, guide: Guide, beta: float, mask: Tensor) -> None:
        self.beta, self.tuned, self.untuned = beta, _Along(guide.tuned, mask), _Along(guide.untuned, mask)
        self.law: Tensor | None = None
        self.chosen: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(n, length) ids and (n, vocabulary) logits -> logits of the mixture."""
        self.note(input_ids[:, -1])
        gap = self.tuned(input_ids) - self.untuned(input_ids)
        shared = min(gap.shape[1], scores.shape[1])  # one vocabulary, whose matrix may be padded
        scores = scores.clone()
        scores[:, :shared] += self.beta * gap[:, :shared]
        self.law = scores.log_softmax(-1)
        return scores

    def note(self, token: Tensor) -> None:
        """(n,) tokens that were drawn from the last law."""
        if self.law is not None:
            self.chosen.append(self.law.gather(1, token[:, None])[:, 0])


@dataclass(frozen=True)
class Emulation:
    """Emulated fine-tuning: token by token from softmax(log π_s + β (log π_w,tuned − log π_w,untuned)).

    A ``generation.Drawer``. Model and guide share one vocabulary.
    """

    model: PreTrainedModel
    guide: Guide
    beta: float
    width: int = 1

    def __call__(self, asked: pd.DataFrame, starts: list[Ids], config: GenerationConfig, seed: int) -> Drawn:
        """See ``generation.Drawer``; the log-probabilities are the mixture's own."""
        ids, mask = padded(self.model, starts, config)
        law = _Emulated(self.guide, self.beta, mask)
        with seeded(self.model, config, seed):
            output = self.model.generate(
                input_ids=ids, attention_mask=mask, logits_processor=LogitsProcessorList([law])
            )
        law.note(output[:, -1])
        answers = [cut_at_end(row, config.eos_token_id) for row in output[:, ids.shape[1] :].tolist()]
        each = torch.stack(law.chosen, dim=1).double().cpu().numpy()
        logp = np.array([row[: len(answer)].sum() for row, answer in zip(each, answers, strict=True)])
        return Drawn(answers, logp, {})
