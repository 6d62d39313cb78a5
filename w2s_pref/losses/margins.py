"""Margins of policies: what a pairwise method makes of the log-probabilities of two answers. More than 0: a is better.

A method of your own is a function of a batch:

    @margin("mine", reference=False)
    def mine(batch: PairBatch, beta: float) -> Tensor:
        return beta * (batch.logp_a / batch.tokens_a - batch.logp_b / batch.tokens_b)

It gets the method's ``options`` as keyword arguments, and ``beta`` if it has a parameter of that name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import Tensor

from w2s_pref.core.errors import W2SError
from w2s_pref.core.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])

NAMES = ("dpo", "simpo", "ipo", "sft", "wspo", "sepo")
MARGINS = Registry("margin", {name: f"w2s_pref.losses.margins:{name}" for name in NAMES})

#: Which loss a margin has: cross-entropy against the label, IPO's square, or no margin loss at all (SFT, and the losses
#: of single tokens).
PairLossName = Literal["bce", "squared", "nll", "wspo", "sepo"]
PAIR_LOSSES: dict[str, PairLossName] = {"ipo": "squared", "sft": "nll", "wspo": "wspo", "sepo": "sepo"}

#: Margins of the package that read no reference log-probabilities.
NO_REFERENCE = frozenset({"simpo", "sft", "sepo"})


@dataclass(frozen=True)
class PairBatch:
    """A batch of pairs under the policy, all of shape (B,).

    ``logp`` is the summed log-probability of a response in nats, ``tokens`` its number of tokens (at least 1 where it
    has any), ``ref`` its summed log-probability under the reference, None for margins that need none. ``chosen`` and
    ``rejected`` are sums of ``token_terms``, where the loss reads single tokens.
    """

    logp_a: Tensor
    logp_b: Tensor
    tokens_a: Tensor
    tokens_b: Tensor
    ref_a: Tensor | None = None
    ref_b: Tensor | None = None
    chosen_a: Tensor | None = None
    chosen_b: Tensor | None = None
    rejected_a: Tensor | None = None
    rejected_b: Tensor | None = None

    @property
    def ratio_a(self) -> Tensor:
        """log π(a) - log π_ref(a)."""
        return self.logp_a - _there(self.ref_a)

    @property
    def ratio_b(self) -> Tensor:
        """log π(b) - log π_ref(b)."""
        return self.logp_b - _there(self.ref_b)


def _there(reference: Tensor | None) -> Tensor:
    if reference is None:
        raise W2SError("this margin reads reference log-probabilities; register it with reference=True")
    return reference


def per_token(value: Tensor, tokens: Tensor) -> Tensor:
    """A sum over response tokens as a mean; responses without tokens give 0."""
    return value / tokens.clamp(min=1)


def dpo(batch: PairBatch, beta: float) -> Tensor:
    """β times the difference of log-ratios (Rafailov et al. 2023, arXiv 2305.18290)."""
    return beta * (batch.ratio_a - batch.ratio_b)


def simpo(batch: PairBatch, beta: float) -> Tensor:
    """β times the difference of mean log-probabilities (Meng et al. 2024, arXiv 2405.14734); γ is the loss's part."""
    return beta * (per_token(batch.logp_a, batch.tokens_a) - per_token(batch.logp_b, batch.tokens_b))


def ipo(batch: PairBatch) -> Tensor:
    """Difference of mean log-ratios per token, as TRL has it (Azar et al. 2023, arXiv 2310.12036); β is the loss's."""
    return per_token(batch.ratio_a, batch.tokens_a) - per_token(batch.ratio_b, batch.tokens_b)


def sft(batch: PairBatch) -> Tensor:
    """Difference of mean log-probabilities: it says which answer the policy prefers, no loss is taken of it."""
    return simpo(batch, beta=1.0)


def wspo(batch: PairBatch, beta: float) -> Tensor:
    """DPO's: it says which answer the policy prefers; the loss is of single tokens."""
    return dpo(batch, beta)


def sepo(batch: PairBatch) -> Tensor:
    """SFT's: it says which answer the policy prefers; the loss is of single tokens."""
    return sft(batch)


def margin(name: str, reference: bool = True) -> Callable[[F], F]:
    """Register a margin: ``algorithm: NAME`` in a recipe's method then means this function.

    Args:
        reference: it reads ``ref_a`` and ``ref_b``; then the reference's log-probabilities are computed beforehand. A
            function that is named as ``module:attr`` or ``file.py:attr`` without being registered gets them.
    """

    def add(function: F) -> F:
        function.reference = reference  # type: ignore[attr-defined]
        return MARGINS.register(name)(function)

    return add


def loss_of(name: str) -> PairLossName:
    """Which loss the margin of that name has; a user's margin has cross-entropy."""
    return PAIR_LOSSES.get(name, "bce")


def needs_reference(name: str, base: Path = Path()) -> bool:
    """True where the margin of that name reads reference log-probabilities."""
    return name not in NO_REFERENCE and bool(getattr(MARGINS.find(name, base), "reference", True))


def bound(name: str, beta: float, options: dict[str, Any], base: Path = Path()) -> Callable[[PairBatch], Tensor]:
    """The margin of that name with its constants put in.

    Raises:
        W2SError: no such margin, or it does not take these options.
    """
    function = MARGINS.find(name, base)
    signature = inspect.signature(function)
    given = {"beta": beta, **options} if "beta" in signature.parameters else dict(options)
    try:
        signature.bind(None, **given)
    except TypeError as error:
        raise W2SError(
            f"margin {name!r}: {error}; check its options, and that its first parameter is the batch"
        ) from None
    return lambda batch: function(batch, **given)
