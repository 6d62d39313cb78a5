"""What a policy is trained on: a margin, the method's own loss on it, and the explicit conflict."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from w2s_pref.core.arrays import Floats
from w2s_pref.core.user_code import guarded
from w2s_pref.losses import margins, objectives
from w2s_pref.losses.margins import PairBatch
from w2s_pref.losses.spec import Checked, LossSpec, check_apart, checked, first_of
from w2s_pref.losses.tokens import BY_TOKEN, token_values


@dataclass(frozen=True)
class PairObjective:
    """One method with its constants, and what a recipe adds to it.

    Attributes:
        name: ``dpo``, ``simpo``, ``ipo``, ``sft``, ``wspo``, ``sepo``, a registered margin, ``module:attr`` or
            ``file.py:attr``.
        beta: scale of the margin (DPO, SimPO) or of the log-ratio (WSPO), or IPO's τ.
        gamma: target margin of the cross-entropy (SimPO).
        conflict: what ``alpha`` > 0 adds where the student is wrong: ``"reverse"``, the method's loss of the
            reversed ground truth, or ``"sft"``, the mean-token loss of the answer that the ground truth disprefers.
        student: what is made of the labels, as for reward models: the method's own loss is taken against its target.
            SFT takes the answer that the target prefers.
        options: keyword arguments of a user's own margin function.
        share: of an answer's tokens that SePO selects.
        sft_weight: of SFT's loss of the preferred answer, which is added to a method's own (MACPO).
        term: a user's conflict, which ``alpha`` adds in the place of ``conflict``.
    """

    name: str = "dpo"
    beta: float = 0.1
    gamma: float = 0.0
    conflict: Literal["reverse", "sft"] = "reverse"
    alpha: float = 0.0
    student: LossSpec = field(default_factory=LossSpec)
    options: dict[str, Any] = field(default_factory=dict)
    share: float = 0.3
    sft_weight: float = 0.0
    term: Checked | None = None

    @property
    def by_token(self) -> bool:
        """True where the loss reads values of single tokens."""
        return self.name in BY_TOKEN

    def values(self, reward: Floats, reference: Floats | None = None) -> Floats:
        """What the loss reads of every token of one answer: ``token_values``."""
        return token_values(self.name, reward, reference, self.beta, self.share)

    @property
    def preferred_only(self) -> bool:
        """True where the loss reads no answer but the preferred one, so that the other need not be run."""
        only = margins.loss_of(self.name) in {"nll", "wspo"}
        return only and self.alpha == 0 and not self.student.read()


class PairLoss:
    """Losses of a batch of pairs, one a pair, shape (B,). The margin is checked on the first batch."""

    def __init__(self, objective: PairObjective, base: Path = Path()) -> None:
        self.objective = objective
        self.kind = margins.loss_of(objective.name)
        found = margins.bound(objective.name, objective.beta, objective.options, base)
        self._margin = guarded(found, f"margin {objective.name!r}")
        self._checked = self._apart = False

    def margin(self, batch: PairBatch) -> Tensor:
        """Margins of the method, shape (B,); for SFT the difference of mean log-probabilities per token."""
        value, what = self._margin(batch), f"margin {self.objective.name!r}"
        if not self._checked:
            checked(value, batch.logp_a, what)
            self._checked = True
        if not self._apart and len(value) > 1:
            with torch.no_grad():
                check_apart(value, self._margin(_beside_others(batch)), what)
            self._apart = True
        return value

    def conflict(self, batch: PairBatch, margin: Tensor, sign: Tensor, p: Tensor | None = None) -> Tensor:
        """What the explicit conflict, or a user's (which may read the label ``p``), adds, (B,)."""
        if self.objective.alpha == 0:
            return torch.zeros_like(margin)
        if self.objective.term is not None:
            return self.objective.alpha * self.objective.term(margin, p=p, truth=(sign + 1) / 2)
        if self.objective.conflict == "sft":
            paid = torch.where(sign < 0, *_answers(batch))
        else:
            paid = self.own(batch, margin, (1 - sign) / 2)
        return self.objective.alpha * objectives.wrong(margin, sign) * paid

    def own(self, batch: PairBatch, margin: Tensor, target: Tensor) -> Tensor:
        """The method's loss against a target in [0, 1], (B,)."""
        if self.objective.sft_weight == 0:
            return self._plain(batch, margin, target)
        sft = torch.where(prefers_a(target), *_answers(batch))
        return self._plain(batch, margin, target) + self.objective.sft_weight * sft

    def _plain(self, batch: PairBatch, margin: Tensor, target: Tensor) -> Tensor:
        if self.kind == "squared":
            return objectives.squared(margin, target, self.objective.beta)
        if self.kind == "bce":
            return objectives.soft_bce(margin, target, self.objective.gamma)
        return torch.where(prefers_a(target), *self._preferred(batch))

    def _preferred(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Losses where a is preferred and where b is, of methods that have no margin loss."""
        if self.kind == "nll":
            return _answers(batch)
        chosen_a, chosen_b = _there(batch.chosen_a), _there(batch.chosen_b)
        if self.kind == "wspo":
            return chosen_a, chosen_b
        return softplus(_there(batch.rejected_b) - chosen_a), softplus(_there(batch.rejected_a) - chosen_b)


def _beside_others(batch: PairBatch) -> PairBatch:
    """The first pair beside less probable answers that are a token longer."""
    given = {each.name: value for each in fields(batch) if (value := getattr(batch, each.name)) is not None}
    others = {name: value + 1 if name.startswith("tokens") else 2 * value - 1 for name, value in given.items()}
    return replace(batch, **{name: first_of(given[name], other) for name, other in others.items()})


def _there(value: Tensor | None) -> Tensor:
    """A sum over tokens, of a batch that has them."""
    assert value is not None
    return value


def prefers_a(label: Tensor) -> Tensor:
    """A label hardened at ½: True where ``a`` counts as preferred."""
    return label >= 0.5


def _answers(batch: PairBatch) -> tuple[Tensor, Tensor]:
    """Mean-token losses of both answers."""
    return objectives.mean_nll(batch.logp_a, batch.tokens_a), objectives.mean_nll(batch.logp_b, batch.tokens_b)
