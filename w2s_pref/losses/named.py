"""The named losses of weak-to-strong generalization, on margins.

``margin`` is the student's log-odds: z1 - z0 of a two-output head, r_a - r_b of a pair. ``p`` is the weak label, the
probability of class 1 (or that ``a`` is preferred). f = sigmoid(margin). Everything has shape (…, B), the last
dimension running over the effective batch; nothing is averaged here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from w2s_pref.losses import objectives
from w2s_pref.losses.spec import LossSpec as LossSpec

#: ``aux_confidence`` in the mode ``openai``: the share of training after which the coefficient jumps to its maximum.
OPENAI_WARMUP = 0.1


def loss(
    spec: LossSpec,
    margin: Tensor,
    p: Tensor,
    progress: float | Tensor,
    hardened: Tensor | None = None,
    own: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """The loss of every row.

    Args:
        progress: fraction of the training done, in [0, 1]; a tensor broadcasts against ``margin``.
        hardened: ``harden`` over the effective batch, cut to these rows; read only where ``spec.ranks``.
        own: the loss against a target, where it is not the cross-entropy of sigmoid(margin) (IPO, SFT).

    Raises:
        ValueError: ``hardened`` is needed and missing.
        W2SError: a user's own loss fails, or returns something else than one number a row.
    """
    if not spec.builtin:
        plain = own or partial(objectives.soft_bce, margin)
        return spec.function()(margin, p=p, progress=progress, own=plain)
    aim = target(spec, margin, p, progress, hardened)
    values = objectives.soft_bce(margin, aim) if own is None else own(aim)
    if spec.name == "kl":
        return values - label_entropy(p)
    if spec.name == "window":
        return values * unsure(margin, spec.radius)
    return values


def target(
    spec: LossSpec, margin: Tensor, p: Tensor, progress: float | Tensor, hardened: Tensor | None = None
) -> Tensor:
    """What the student is trained towards, in [0, 1].

    - ``aux_confidence``: (1 - a) p + a h, h the hardened predictions (Burns et al. 2023, arXiv 2312.09390).
    - ``product``: proportional to f^β p^α, no gradient.
    - ``entropy``: (1 - a) p + a f, with gradient: the loss is (1 - a) of the cross-entropy plus a of f's own entropy
      (without gradient the second term would do nothing).
    - all others: p.
    """
    if spec.name == "product":
        return torch.sigmoid(spec.beta * margin.detach() + spec.alpha * torch.logit(p))
    if spec.name == "entropy":
        return objectives.aux_confidence_target(p, torch.sigmoid(margin), coefficient(spec, progress))
    if not spec.ranks:
        return p
    if hardened is None:
        raise ValueError("aux_confidence needs the hardened predictions of the effective batch")
    return objectives.aux_confidence_target(p, hardened, coefficient(spec, progress))


def coefficient(spec: LossSpec, progress: float | Tensor) -> float | Tensor:
    """a(s), the weight of the student's own opinion after the share s of its training.

    The mode ``openai`` multiplies by s itself up to a tenth of the training and then jumps: s / 0.1 was meant.
    """
    if spec.name != "aux_confidence" or spec.mode == "paper":
        return objectives.confidence_weight(progress, spec.a_max, spec.warmup)
    if isinstance(progress, Tensor):
        return spec.a_max * torch.where(progress > OPENAI_WARMUP, 1.0, progress)
    return spec.a_max * (1.0 if progress > OPENAI_WARMUP else progress)


@torch.no_grad()
def harden(spec: LossSpec, margin: Tensor, p: Tensor, weight: Tensor) -> Tensor:
    """The student's own predictions as 0 or 1, from the whole effective batch; rows of weight 0 are not there.

    By rank (``objectives.hard_predictions``), or as OpenAI's code does: 1 where P(class 0) is below its quantile at
    the mean label, so that ties at the threshold are all 0.
    """
    if spec.mode == "paper":
        return objectives.hard_predictions(margin, p, weight, spec.prior)
    real = weight > 0
    rows = real.sum(dim=-1, keepdim=True)
    negative = torch.sigmoid(-margin)
    ordered = torch.where(real, negative, torch.inf).sort(dim=-1).values
    share = (p * real).sum(dim=-1, keepdim=True) / rows.clamp(min=1)
    place = share.to(margin.dtype) * (rows - 1).clamp(min=0)
    low, high = (ordered.gather(-1, at.long()) for at in (place.floor(), place.ceil()))
    return ((negative < torch.lerp(low, high, place - place.floor())) & real).to(margin.dtype)


def label_entropy(p: Tensor) -> Tensor:
    """Entropy of a label in nats: what divides the cross-entropy from the Kullback-Leibler divergence."""
    return -torch.xlogy(p, p) - torch.xlogy(1 - p, 1 - p)


def unsure(margin: Tensor, radius: float) -> Tensor:
    """1 where the student's confidence max(f, 1 - f) is below ½ + radius, else 0. No gradient."""
    return (torch.sigmoid(margin.detach().abs()) < 0.5 + radius).to(margin.dtype)


def mean_loss(spec: LossSpec, margin: Tensor, p: Tensor, progress: float) -> Tensor:
    """The mean over one whole effective batch that fits into memory."""
    hardened = harden(spec, margin, p, torch.ones_like(margin)) if spec.ranks else None
    return loss(spec, margin, p, progress, hardened).mean()
