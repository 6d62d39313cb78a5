"""Losses on a margin: every pairwise method is a margin, and one formula turns margins and labels into a loss.

Margins are in neutral order: ``margin = score(a) - score(b)``, shape (B,). ``p`` is the label's probability that ``a``
is preferred, shape (B,), in [0, 1]. ``sign`` is +1 where the ground truth prefers ``a``, -1 where it prefers ``b``.
All functions return one value per pair, shape (B,), so that the caller decides how to average.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def soft_bce(margin: Tensor, p: Tensor) -> Tensor:
    """Cross-entropy of sigmoid(margin) against a soft label p; p = 1 is -logsigmoid(margin), TRL's reward loss."""
    return p * softplus(-margin) + (1 - p) * softplus(margin)


def explicit_conflict(margin: Tensor, sign: Tensor) -> Tensor:
    """What the student is paid for: 1[student wrong] times the loss of the reversed ground truth.

    Yang et al. 2024 (arXiv 2406.11431), explicit conflict. The indicator has no gradient. A tie is not wrong.
    """
    true_margin = margin * sign
    wrong = (true_margin.detach() < 0).to(margin.dtype)
    return wrong * softplus(true_margin)


def hard_predictions(margin: Tensor, p: Tensor, weight: Tensor, prior: str) -> Tensor:
    """The student's own hardened predictions over one effective batch, by rank.

    1 for the top round(prior * n) rows by margin, else 0, where n counts rows of positive weight and prior is ½
    (``"half"``) or the mean label (``"mean"``). Rank-based, so the count is exact. Ties go to the earlier row.
    Burns et al. 2023 (arXiv 2312.09390), auxiliary confidence loss.

    Args:
        margin, p, weight: shape (B,) over the whole effective batch, not a micro-batch of it.
    """
    real = weight > 0
    rows = int(real.sum())
    share = 0.5 if prior == "half" else float(p[real].double().mean())
    count = int(share * rows + 0.5)
    masked = torch.where(real, margin, torch.full_like(margin, -torch.inf))
    order = torch.argsort(masked, descending=True, stable=True)
    hardened = torch.zeros_like(margin)
    hardened[order[:count]] = 1.0
    return hardened


def confidence_weight(progress: float, a_max: float, warmup: float) -> float:
    """a(s) = a_max * min(1, s / warmup), s the fraction of training done, in [0, 1]."""
    return a_max if warmup <= 0 else a_max * min(1.0, progress / warmup)


def aux_confidence_target(p: Tensor, hardened: Tensor, weight: float) -> Tensor:
    """The label mixed with the student's own hardened prediction: (1 - a) p + a h."""
    return (1 - weight) * p + weight * hardened
