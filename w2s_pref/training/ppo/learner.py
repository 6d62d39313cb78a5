"""The optimizer step of PPO: one minibatch of the buffer, exact however it is split over memory and processes.

Losses are means over the tokens of the whole minibatch. Each process takes its share of the rows, each forward pass a
part of that; gradients of the parts add up to the gradient of the mean, and are summed over processes here rather
than by a wrapper, because policy and value model may be adapters of one module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn

from w2s_pref.core.errors import W2SError
from w2s_pref.training.ppo import maths
from w2s_pref.training.ppo.players import Players, logprobs_of
from w2s_pref.training.ppo.rollout import PassInputs, Rollouts, alike, sequences
from w2s_pref.training.ppo.settings import PPOSettings

#: What one minibatch reports, each a mean over its tokens.
STATISTICS = ("policy_loss", "value_loss", "clip_fraction", "value_clip_fraction", "ratio")


class Learner:
    """AdamW over policy and value model, and the steps it takes."""

    def __init__(self, players: Players, settings: PPOSettings, pad_id: int) -> None:
        self.players, self.settings, self.pad_id = players, settings, pad_id
        self.parameters = players.trainable()
        self.rates = {
            "policy": settings.learning_rate,
            "value": settings.value_learning_rate or settings.learning_rate,
        }
        groups = [{"params": list(self.parameters[who].values()), "lr": rate} for who, rate in self.rates.items()]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        self.state = PartialState()

    def named(self) -> dict[str, nn.Parameter]:
        """Every trained parameter, as ``policy.NAME`` or ``value.NAME``."""
        return {f"{who}.{name}": each for who, part in self.parameters.items() for name, each in part.items()}

    def set_rate(self, update: int) -> None:
        """The learning rates of update ``update`` (from 0): linear, zero after the last."""
        left = 1.0 - update / self.settings.updates
        for group, rate in zip(self.optimizer.param_groups, self.rates.values(), strict=True):
            group["lr"] = rate * left

    def step(
        self, prompts: list[list[int]], rollouts: Rollouts, prepared: PassInputs, rows: Tensor, where: str
    ) -> dict[str, float]:
        """One optimizer step on the rollouts ``rows``; returns the values of ``STATISTICS``.

        Args:
            prompts: token ids of the prompt of every rollout in the buffer.
            where: the words for this step in a sentence about a loss that is no number.

        Raises:
            W2SError: a loss or gradient is no finite number.
        """
        self.optimizer.zero_grad(set_to_none=True)
        tokens = prepared.mask[rows].sum()
        sums = torch.zeros(len(STATISTICS), device=tokens.device)
        mine = rows[self.state.process_index :: self.state.num_processes].to(tokens.device)
        lengths = [len(prompts[row]) + int(rollouts.lengths[row]) for row in mine.tolist()]
        for few in alike(self.players.policy, lengths, self.settings.per_device_forward_batch_size):
            sums += self._backward(prompts, rollouts, prepared, mine[few], tokens)
        self._add_over_processes(sums)
        values = dict(zip(STATISTICS, (sums / tokens).tolist(), strict=True))
        for who, part in self.parameters.items():
            norm = self._clip(part.values())
            loss = values[f"{who}_loss"]
            if not (abs(loss) < float("inf") and norm < float("inf")):
                raise W2SError(_diverged(who, where, loss, norm))
        self.optimizer.step()
        return values

    def _backward(
        self, prompts: list[list[int]], rollouts: Rollouts, prepared: PassInputs, rows: Tensor, tokens: Tensor
    ) -> Tensor:
        """Add the gradient of ``rows``; returns their sums for ``STATISTICS``."""
        batch = sequences(
            [prompts[row] for row in rows.tolist()], rollouts.responses[rows], rollouts.lengths[rows], self.pad_id
        )
        assert batch.responses is not None
        settings, mask = self.settings, prepared.mask[rows]  # of it the batch has the tokens, answer by answer
        advantage, old_logprobs = prepared.advantages[rows][mask], rollouts.logprobs[rows][mask]
        new = logprobs_of(self.players.policy_logits(batch), batch.responses.targets)
        policy = maths.policy_terms(new, old_logprobs, advantage, settings.cliprange)
        (policy.losses.sum() / tokens).backward()  # type: ignore[no-untyped-call]
        with self.players.valuing():
            value = maths.value_terms(
                self.players.values(batch),
                rollouts.values[rows][mask],
                prepared.returns[rows][mask],
                settings.cliprange_value,
            )
            (settings.vf_coef * value.losses.sum() / tokens).backward()  # type: ignore[no-untyped-call]
        terms = (policy.losses, value.losses, policy.clipped, value.clipped, policy.ratio)
        return torch.stack([term.detach().sum() for term in terms])

    def _add_over_processes(self, sums: Tensor) -> None:
        if self.state.num_processes == 1:
            return
        sums.copy_(reduce(sums, reduction="sum"))
        for parameter in self.named().values():
            if parameter.grad is None:  # more processes than rows
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.copy_(reduce(parameter.grad, reduction="sum"))

    def _clip(self, parameters: Iterable[nn.Parameter]) -> float:
        """Clip where the settings say so; returns the norm before."""
        limit = self.settings.max_grad_norm
        norm: Any = nn.utils.clip_grad_norm_(list(parameters), float("inf") if limit is None else limit)
        return float(norm)


def _diverged(who: str, where: str, loss: float, norm: float) -> str:
    rate = "learning_rate" if who == "policy" else "value_learning_rate"
    return (
        f"ppo diverged in {where}: {who} loss {loss}, gradient norm {norm}; lower {rate}, or set max_grad_norm; "
        "check that the reward has a sane scale"
    )
