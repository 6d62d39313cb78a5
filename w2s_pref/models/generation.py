"""Answers of a policy to prompts: sampled in seeded batches, so that any number of processes gives the same table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from w2s_pref.core.arrays import Floats
from w2s_pref.core.strict import Section
from w2s_pref.core.tables import digest
from w2s_pref.models.boundaries import Ids, answer_texts, cut_at_end, eos_ids, fit_prompts, prompt_room
from w2s_pref.models.scoring import logprob_ids

#: What ``sample`` returns, one row an answer.
TYPES = {
    "row": "int64",
    "sample": "int64",
    "text": "object",
    "tokens": "int64",
    "ended": "bool",
    "logp": "float64",
    "ids": "object",
    "prompt_tokens": "int64",
}


class SampleSettings(Section):
    """How answers are drawn."""

    samples: int = Field(4, ge=1, description="answers per prompt")
    temperature: float = Field(1.0, ge=0.0, description="0 takes the most likely token every time")
    max_new_tokens: int = Field(64, ge=1, description="longest answer in tokens, the eos included")
    batch_size: int = Field(64, ge=1, description="answers drawn together; each batch has a seed of its own")

    @model_validator(mode="after")
    def _one_greedy_answer(self) -> SampleSettings:
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(f"temperature 0 writes the same answer {self.samples} times; set samples: 1")
        return self


class Place(NamedTuple):
    """One answer to be drawn: position of its prompt, number of the sample."""

    row: int
    sample: int


class Drawn(NamedTuple):
    """Answers to one batch of prompts.

    Attributes:
        answers: ids of each, up to and with the first that ends an answer.
        logp: (n,) summed log-probabilities at temperature 1, NaN where nobody can say them.
        more: further columns of the table.
    """

    answers: list[Ids]
    logp: Floats
    more: dict[str, Any]


class Drawer(Protocol):
    """How the answers to one batch of prompts are drawn; ``width`` sequences are held for each of them."""

    @property
    def width(self) -> int:
        """Sequences held for each answer."""
        ...

    def __call__(self, asked: pd.DataFrame, starts: list[Ids], config: GenerationConfig, seed: int) -> Drawn:
        """Continue ``starts``, the ids of the prompts ``asked`` (columns ``form`` and ``prompt``)."""
        ...


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: pd.DataFrame,
    settings: SampleSettings,
    seed: int,
    max_length: int | None,
    shard: tuple[int, int] = (0, 1),
    draw: Drawer | None = None,
) -> pd.DataFrame:
    """Draw ``settings.samples`` answers to every prompt.

    Each batch has its own seed (from ``seed`` and its number): the table does not depend on how many processes share
    the work, and the global random state is left as it was.

    Args:
        model: a causal language model; it is put in eval mode.
        prompts: columns ``form`` and ``prompt``.
        max_length: longest list of ids of prompt and answer together; None for the model's own limit. A prompt that
            leaves no room for ``max_new_tokens`` loses its start.
        shard: (rank, world): the batches of other ranks are left out of the table.
        draw: how answers are drawn where the model is not sampled from token by token.

    Returns:
        Columns ``TYPES`` and those of ``draw``, ordered by ``row`` (position of the prompt) and ``sample``; ``ids`` are
        the answer's tokens, the eos included, ``tokens`` their number, ``logp`` their summed log-probability at
        temperature 1; ``ended`` is False at ``max_new_tokens``. ``attrs["truncated"]`` counts the prompts that lost
        their start.

    Raises:
        W2SError: ``max_new_tokens`` leaves no room for a prompt.
    """
    model.eval()
    room = prompt_room(model, max_length, settings.max_new_tokens)
    starts, truncated = fit_prompts(prompts, tokenizer, room)
    config = _generation_config(tokenizer, settings, eos_ids(model, tokenizer, prompts["form"]))
    places = [Place(row, number) for row in range(len(starts)) for number in range(settings.samples)]
    draw = draw or Sampling(model, tokenizer)
    parts = [pd.DataFrame(columns=list(TYPES)).astype(TYPES)]
    for number, batch in enumerate(_batches(places, starts, max(1, settings.batch_size // draw.width))):
        if number % shard[1] == shard[0]:
            rows = [place.row for place in batch]
            asked = prompts[["form", "prompt"]].iloc[rows].reset_index(drop=True)
            before = [starts[row] for row in rows]
            drawn = draw(asked, before, config, int(digest("sample", str(seed), str(number))[:15], 16))
            part = _part(tokenizer, asked, before, drawn, config.eos_token_id)
            parts.append(part.assign(row=rows, sample=[place.sample for place in batch]))
    table = pd.concat(parts).sort_values(["row", "sample"], ignore_index=True)
    table.attrs["truncated"] = truncated
    return table


def _part(
    tokenizer: PreTrainedTokenizerBase, asked: pd.DataFrame, before: list[Ids], drawn: Drawn, ends: Sequence[int]
) -> pd.DataFrame:
    """The table's rows of one batch."""
    columns = {
        "text": answer_texts(tokenizer, asked["form"].tolist(), before, drawn.answers),
        "tokens": [len(ids) for ids in drawn.answers],
        "ended": [ids[-1] in ends for ids in drawn.answers],
        "logp": drawn.logp,
        "ids": drawn.answers,
        "prompt_tokens": [len(start) for start in before],
    }
    return pd.DataFrame({**columns, **drawn.more})


@dataclass(frozen=True)
class Sampling:
    """Token by token from the model's own law. By batch the log-probabilities, too, are the same for any shard."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    width: int = 1

    def __call__(self, asked: pd.DataFrame, starts: list[Ids], config: GenerationConfig, seed: int) -> Drawn:
        """See ``Drawer``."""
        ids, mask = padded(self.model, starts, config)
        with seeded(self.model, config, seed):
            output = self.model.generate(input_ids=ids, attention_mask=mask)
        answers = [cut_at_end(row, config.eos_token_id) for row in output[:, ids.shape[1] :].tolist()]
        whole = [start + answer for start, answer in zip(starts, answers, strict=True)]
        pad = self.tokenizer.pad_token_id
        return Drawn(answers, logprob_ids(self.model, whole, [len(start) for start in starts], pad), {})


def _batches(places: list[Place], starts: list[Ids], size: int) -> Iterator[list[Place]]:
    """Places in batches of prompts of similar length, longest first."""
    order = sorted(places, key=lambda place: -len(starts[place.row]))
    for first in range(0, len(order), size):
        yield order[first : first + size]


def _generation_config(
    tokenizer: PreTrainedTokenizerBase, settings: SampleSettings, ends: list[int]
) -> GenerationConfig:
    greedy = settings.temperature == 0
    how = {"do_sample": False} if greedy else {"do_sample": True, "temperature": settings.temperature, "top_k": 0}
    return GenerationConfig(
        **how, max_new_tokens=settings.max_new_tokens, pad_token_id=tokenizer.pad_token_id, eos_token_id=ends
    )


@contextmanager
def seeded(model: PreTrainedModel, config: GenerationConfig, seed: int) -> Iterator[None]:
    """Within the block ``model`` generates by ``config``, from ``seed`` on; the global random state stays."""
    device = next(model.parameters()).device
    with (
        torch.no_grad(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        generating_by(model, config),
    ):
        torch.manual_seed(seed)
        yield


def padded(model: PreTrainedModel, starts: list[Ids], config: GenerationConfig) -> tuple[Tensor, Tensor]:
    """``pad_left`` on the model's device."""
    device = next(model.parameters()).device
    ids, mask = pad_left(starts, int(config.pad_token_id))
    return ids.to(device), mask.to(device)


def pad_left(sequences: list[Ids], pad_id: int) -> tuple[Tensor, Tensor]:
    """Ids, padded on the left, and their mask (1 at real tokens), each (n, longest), on the CPU."""
    width = max(len(ids) for ids in sequences)
    ids = torch.tensor([[pad_id] * (width - len(each)) + each for each in sequences])
    mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in sequences])
    return ids, mask


@contextmanager
def generating_by(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """Generate by ``config`` alone: defaults that came with the model (top_k, penalties …) would sample another law."""
    holders = [model, model.get_base_model()] if hasattr(model, "get_base_model") else [model]
    before = [holder.generation_config for holder in holders]
    try:
        for holder in holders:
            holder.generation_config = config
        yield
    finally:
        for holder, own in zip(holders, before, strict=True):
            holder.generation_config = own
