"""The arithmetic of PPO on token sequences: pure functions on tensors.

Shapes: B answers, T response positions. Position t is the state before response token t is written; a mask is True at
the tokens of an answer, its end (eos) included. Sources: Schulman et al. 2017 (PPO), 2016 (GAE); Ziegler et al. 2019.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from w2s_pref.training.ppo.settings import KL_ERROR_CLIP

#: Added to a variance before its root: constant values stay zero.
VARIANCE_FLOOR = 1e-8


class PolicyTerms(NamedTuple):
    """Per token (B, T): clipped loss, 1.0 where the clip decides, probability ratio new/old."""

    losses: Tensor
    clipped: Tensor
    ratio: Tensor


class ValueTerms(NamedTuple):
    """Per token (B, T): clipped squared error, halved, and 1.0 where the clip decides."""

    losses: Tensor
    clipped: Tensor


def token_mask(lengths: Tensor, width: int) -> Tensor:
    """(B, width) mask, True at the first ``lengths`` (B,) positions."""
    return torch.arange(width, device=lengths.device)[None, :] < lengths[:, None]


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum over the masked positions; what stands elsewhere, NaN included, does not count."""
    return values.masked_fill(~mask, 0.0).sum()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the masked positions."""
    return masked_sum(values, mask) / mask.sum()


def whiten(values: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """Scale to variance one (n - 1) over the masked positions, and to mean zero unless ``shift_mean`` is False.

    Zero outside the mask. A single position has no variance: it is only shifted.
    """
    mean = masked_mean(values, mask)
    variance = masked_sum((values - mean) ** 2, mask) / (mask.sum() - 1).clamp(min=1)
    scaled = (values - mean) * torch.rsqrt(variance + VARIANCE_FLOOR)
    if not shift_mean:
        scaled = scaled + mean
    return scaled.masked_fill(~mask, 0.0)


def token_kl(logprobs: Tensor, ref_logprobs: Tensor, estimator: str) -> Tensor:
    """Estimate of KL(policy ‖ reference) per sampled token, in nats.

    With r = log(reference / policy): k1 is -r (unbiased); k3 is exp(r) - 1 - r (unbiased, never negative, less
    variance; Schulman 2020, joschu.net/blog/kl-approx).
    """
    log_ratio = ref_logprobs - logprobs
    return -log_ratio if estimator == "k1" else torch.expm1(log_ratio) - log_ratio


def penalised(scores: Tensor, ended: Tensor, penalty: float | None) -> Tensor:
    """Scores (B,) less ``penalty`` where the answer did not end."""
    return scores if penalty is None else scores - penalty * (~ended).to(scores.dtype)


def token_rewards(kl: Tensor, scores: Tensor, last: Tensor, kl_coef: float) -> Tensor:
    """Reward per token (B, T): -kl_coef * kl, plus the answer's score (B,) at its position ``last`` (B,)."""
    rewards = -kl_coef * kl
    rewards[torch.arange(len(last), device=last.device), last] += scores
    return rewards


def advantages(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimates (B, T); the returns are these plus ``values``.

    Both inputs are zero after an answer's end: nothing is earned there and the end has no future.
    """
    carried = torch.zeros_like(values[:, 0])
    columns = []
    for t in range(values.shape[1] - 1, -1, -1):
        future = values[:, t + 1] if t + 1 < values.shape[1] else torch.zeros_like(carried)
        carried = rewards[:, t] + gamma * future - values[:, t] + gamma * lam * carried
        columns.append(carried)
    return torch.stack(columns[::-1], dim=1)


def policy_terms(new: Tensor, old: Tensor, advantage: Tensor, cliprange: float) -> PolicyTerms:
    """PPO's clipped surrogate per token: max(-A ρ, -A clip(ρ, 1 ± cliprange)) with ρ = exp(new - old)."""
    ratio = torch.exp(new - old)
    plain, clipped = -advantage * ratio, -advantage * ratio.clamp(1.0 - cliprange, 1.0 + cliprange)
    return PolicyTerms(torch.maximum(plain, clipped), (clipped > plain).to(new.dtype), ratio)


def value_terms(new: Tensor, old: Tensor, returns: Tensor, cliprange: float) -> ValueTerms:
    """Half the larger squared error of the value and of the value kept within ``cliprange`` of the old one."""
    plain = (new - returns) ** 2
    clipped = (torch.clamp(new, old - cliprange, old + cliprange) - returns) ** 2
    return ValueTerms(0.5 * torch.maximum(plain, clipped), (clipped > plain).to(new.dtype))


def adapted(kl_coef: float, kl: float, target: float | None, horizon: int, episodes: int) -> float:
    """The next kl_coef: multiplied by 1 + clip(kl / target - 1, ±0.2) * episodes / horizon; fixed without a target."""
    if target is None:
        return kl_coef
    error = min(max(kl / target - 1.0, -KL_ERROR_CLIP), KL_ERROR_CLIP)
    return kl_coef * (1.0 + error * episodes / horizon)
