"""Rollouts: answers sampled from the policy, and what PPO needs to know of them.

Generation is transformers' ``generate`` with its KV cache (no other engine is used for PPO). Each token is drawn by
inverting the cumulative distribution at a uniform number that belongs to its update, row and position, so answers do
not depend on how many are generated at once or where.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from w2s_pref.models.batches import Row, RowBatch, budget, collate
from w2s_pref.models.generation import generating_by, pad_left
from w2s_pref.training.ppo import maths
from w2s_pref.training.ppo.players import Players
from w2s_pref.training.ppo.settings import PPOSettings

Ids = list[int]


@dataclass(frozen=True)
class Rollouts:
    """The buffer of one update: B answers of at most T tokens. Everything is meaningless after ``lengths``.

    ``responses`` (B, T) ids; ``lengths`` (B,) tokens, the end included; ``ended`` (B,); ``logprobs``,
    ``ref_logprobs``, ``values``, ``entropy`` (B, T); ``scores`` (B,) as the reward function gave them.
    """

    responses: Tensor
    lengths: Tensor
    ended: Tensor
    logprobs: Tensor
    ref_logprobs: Tensor
    values: Tensor
    entropy: Tensor
    scores: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """The buffer by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class PickedByUniform(LogitsProcessor):  # type: ignore[misc]
    """Leaves one token a row: the one that the row's uniform number falls on. Greedy search then picks it.

    Args:
        uniforms: (b, T) numbers in [0, 1).
        start: columns before the first new token.
    """

    def __init__(self, uniforms: Tensor, start: int, temperature: float) -> None:
        self.uniforms, self.start, self.temperature = uniforms, start, temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(b, V) scores in, (b, V) scores out: zero for the drawn token, -inf for all others."""
        heap = torch.softmax(scores.double() / self.temperature, dim=-1).cumsum(dim=-1)
        draw = self.uniforms[:, input_ids.shape[1] - self.start, None] * heap[:, -1:]
        token = torch.searchsorted(heap, draw, right=True).clamp(max=heap.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, token, 0.0)


@torch.no_grad()
def generate(
    players: Players, prompts: list[Ids], uniforms: Tensor, ends: list[int], pad_id: int, at_once: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Answer every prompt: ``responses`` (n, T) padded with ``pad_id``, ``lengths`` (n,), ``ended`` (n,)."""
    device = players.head.weight.device
    width = uniforms.shape[1]
    responses = torch.full((len(prompts), width), pad_id, device=device)
    config = GenerationConfig(eos_token_id=ends or None, pad_token_id=pad_id, do_sample=False, max_new_tokens=width)
    with generating_by(players.policy, config):
        for rows in _of_similar_length(prompts, at_once):
            ids, mask = (each.to(device) for each in pad_left([prompts[row] for row in rows], pad_id))
            draws = PickedByUniform(uniforms[rows].to(device), ids.shape[1], players.temperature)
            output = players.policy.generate(
                input_ids=ids,
                attention_mask=mask,
                logits_processor=LogitsProcessorList([draws]),
            )[:, ids.shape[1] :]
            responses[rows, : output.shape[1]] = output
    ending = torch.isin(responses, torch.tensor(ends, device=device))
    ended = ending.any(dim=1)
    lengths = torch.where(ended, ending.int().argmax(dim=1) + 1, torch.full_like(ended, width, dtype=torch.long))
    return responses.masked_fill(~maths.token_mask(lengths, width), pad_id), lengths, ended


def _of_similar_length(prompts: list[Ids], at_once: int) -> list[list[int]]:
    """Numbers of the prompts that are answered together: a batch is as wide as its longest."""
    order = list(range(len(prompts)))
    if len(order) > at_once:
        order.sort(key=lambda row: len(prompts[row]))
    return [order[start : start + at_once] for start in range(0, len(order), at_once)]


def answered(responses: Tensor, lengths: Tensor) -> list[Ids]:
    """The answers without the padding behind them."""
    return [row[:length] for row, length in zip(responses.tolist(), lengths.tolist(), strict=True)]


def sequences(prompts: list[Ids], responses: Tensor, lengths: Tensor, pad_id: int) -> RowBatch:
    """Prompts with their answers, padded on the right, where no token sees it and no mask is needed."""
    pairs = zip(prompts, answered(responses, lengths), strict=True)
    rows = [Row(([*prompt, *answer],), (len(prompt),)) for prompt, answer in pairs]
    return collate(rows, pad_id, "shared").to(responses.device)


def alike(model: nn.Module, lengths: Sequence[int], at_once: int) -> list[list[int]]:
    """Numbers of rows of similar length together, at most ``at_once``: padding costs as much as tokens do."""
    if not len(lengths):
        return []
    groups = budget.split(lengths, at_once * max(lengths), budget.overhead(model))
    return [group[start : start + at_once] for group in groups for start in range(0, len(group), at_once)]


@torch.no_grad()
def measure(
    players: Players, prompts: list[Ids], responses: Tensor, lengths: Tensor, pad_id: int, at_once: int
) -> dict[str, Tensor]:
    """(n, T) each: ``logprobs``, ``ref_logprobs``, ``values`` and ``entropy`` (nats), zero after an answer's end."""
    names, shape, device = ("logprobs", "ref_logprobs", "values", "entropy"), responses.shape, responses.device
    found = {name: torch.zeros(shape, device=device) for name in names}
    whole = [len(prompt) + length for prompt, length in zip(prompts, lengths.tolist(), strict=True)]
    for rows in alike(players.policy, whole, at_once):
        batch = sequences([prompts[row] for row in rows], responses[rows], lengths[rows], pad_id)
        logprobs = players.policy_logits(batch).log_softmax(-1)
        assert batch.responses is not None
        parts = {
            "logprobs": logprobs.gather(-1, batch.responses.targets[:, None])[:, 0],
            "entropy": -(logprobs.exp() * logprobs).sum(-1),
        }
        parts["ref_logprobs"] = players.reference_logprobs(batch)
        with players.valuing():
            parts["values"] = players.values(batch)
        mask = maths.token_mask(lengths[rows], shape[1])
        for name, part in parts.items():
            found[name][rows] = torch.zeros_like(mask, dtype=part.dtype).masked_scatter(mask, part).to(found[name])
    return found


@dataclass(frozen=True)
class PassInputs:
    """What the passes over one buffer need beside it: ``mask``, ``advantages``, ``returns``, ``kl`` (B, T).

    ``scores`` (B,) are those of the answers, less what a missing end costs.
    """

    scores: Tensor
    mask: Tensor
    advantages: Tensor
    returns: Tensor
    kl: Tensor


def prepare(rollouts: Rollouts, settings: PPOSettings, kl_coef: float) -> PassInputs:
    """Rewards with the KL penalty, whitened if asked for, then advantages (whitened, always) and returns."""
    mask = maths.token_mask(rollouts.lengths, rollouts.responses.shape[1])
    kl = maths.token_kl(rollouts.logprobs, rollouts.ref_logprobs, settings.kl_estimator).masked_fill(~mask, 0.0)
    scores = maths.penalised(rollouts.scores, rollouts.ended, settings.missing_eos_penalty)
    rewards = maths.token_rewards(kl, scores, rollouts.lengths - 1, kl_coef)
    if settings.whiten_rewards:
        rewards = maths.whiten(rewards, mask, shift_mean=False)
    advantages = maths.advantages(rewards, rollouts.values, settings.gamma, settings.lam)
    return PassInputs(scores, mask, maths.whiten(advantages, mask), advantages + rollouts.values, kl)


def clock(device: torch.device) -> float:
    """Seconds now, after what the device was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
