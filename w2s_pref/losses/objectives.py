"""Losses on a margin: every pairwise method is a margin, and one formula turns margins and labels into a loss.

Margins are in neutral order: ``margin = score(a) - score(b)``, shape (B,). ``p`` is the label's probability that ``a``
is preferred, shape (B,), in [0, 1]. ``sign`` is +1 where the ground truth prefers ``a``, -1 where it prefers ``b``.
All functions return one value per pair, shape (B,), so that the caller decides how to average.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def soft_bce(margin: Tensor, p: Tensor, gamma: float = 0.0) -> Tensor:
    """Cross-entropy of sigmoid(margin) against a soft label p; p = 1 is -logsigmoid(margin), TRL's reward loss.

    ``gamma`` is the margin that the preferred answer should lead by (SimPO's target reward margin, Meng et al. 2024,
    arXiv 2405.14734): p softplus(γ - m) + (1 - p) softplus(γ + m).
    """
    return p * softplus(gamma - margin) + (1 - p) * softplus(gamma + margin)


def squared(margin: Tensor, p: Tensor, beta: float) -> Tensor:
    """IPO: p (m - 1/2β)² + (1 - p) (m + 1/2β)² (Azar et al. 2023, arXiv 2310.12036, eq. 17, β is their τ)."""
    target = 1 / (2 * beta)
    return p * (margin - target) ** 2 + (1 - p) * (margin + target) ** 2


def mean_nll(logp: Tensor, tokens: Tensor) -> Tensor:
    """SFT: minus the mean log-probability per response token; 0 for a response without tokens."""
    return -logp / tokens.clamp(min=1)


def wrong(margin: Tensor, sign: Tensor) -> Tensor:
    """1 where the student prefers what the ground truth does not, else 0. No gradient. A tie is not wrong."""
    return (margin * sign).detach().lt(0).to(margin.dtype)


def explicit_conflict(margin: Tensor, sign: Tensor) -> Tensor:
    """What is added to the loss: 1[student wrong] times the loss of the reversed ground truth.

    Yang et al. 2024 (arXiv 2406.11431), explicit conflict. The indicator has no gradient. A tie is not wrong.
    """
    return wrong(margin, sign) * softplus(margin * sign)


def hard_predictions(margin: Tensor, p: Tensor, weight: Tensor, prior: str) -> Tensor:
    """The student's own hardened predictions over one effective batch, by rank.

    1 for the top round(prior * n) rows by margin, else 0, where n counts rows of positive weight and prior is ½
    (``"half"``) or the mean label (``"mean"``). Rank-based, so the count is exact. Ties go to the earlier row.
    Burns et al. 2023 (arXiv 2312.09390), auxiliary confidence loss.

    Args:
        margin, p, weight: shape (B,) over the whole effective batch, not a micro-batch of it; or (…, B): several
            students at once, each ranked by itself.
    """
    real = weight > 0
    rows = real.sum(dim=-1, keepdim=True)
    total = torch.where(real, p, 0.0).double().sum(dim=-1, keepdim=True)
    share = torch.full_like(total, 0.5) if prior == "half" else total / rows.clamp(min=1)
    masked = torch.where(real, margin, torch.full_like(margin, -torch.inf))
    place = torch.argsort(torch.argsort(masked, dim=-1, descending=True, stable=True), dim=-1)
    return (place < (share * rows + 0.5).floor()).to(margin.dtype)


def confidence_weight(progress: float | Tensor, a_max: float, warmup: float) -> float | Tensor:
    """a(s) = a_max * min(1, s / warmup), s the fraction of training done, in [0, 1]."""
    if warmup <= 0:
        return a_max
    share = progress / warmup
    return a_max * (share.clamp(max=1.0) if isinstance(share, Tensor) else min(1.0, share))


def aux_confidence_target(p: Tensor, hardened: Tensor, weight: float | Tensor) -> Tensor:
    """The label mixed with the student's own hardened prediction: (1 - a) p + a h."""
    return (1 - weight) * p + weight * hardened
