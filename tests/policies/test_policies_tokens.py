"""Losses of single tokens, WSPO and SePO: their arithmetic by hand, the selection of tokens, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from float64 import EXACT
from policy_helpers import job, make_policy, naive_tokens, token_numbers, train

from w2s_pref.core.errors import W2SError
from w2s_pref.data.token_cache import Tokenized
from w2s_pref.losses.margins import PairBatch
from w2s_pref.losses.pairs import PairLoss, PairObjective
from w2s_pref.losses.tokens import selected, token_terms
from w2s_pref.stages.token_rewards import TokenRewards


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("tokens", "share", "count"),
    [(10, 0.3, 3), (9, 0.3, 2), (3, 0.3, 1), (1, 0.3, 1), (100, 0.29, 29), (4, 1.0, 4)],
)
def test_a_share_is_rounded_down_to_one_token_at_least(tokens: int, share: float, count: int) -> None:
    """.29 of 100 is 28.999999999999996 in floating point, and 29."""
    weights = selected(np.arange(tokens, dtype=float), share)
    assert weights.tolist() == [0.0] * (tokens - count) + [pytest.approx(1 / count)] * count


def test_of_equal_rewards_the_earlier_tokens_are_taken() -> None:
    reward = np.array([1.0, 2.0, 0.0, 2.0, 2.0, 0.0])
    assert selected(reward, 0.4).tolist() == [0, 0.5, 0, 0.5, 0, 0]
    assert selected(-reward, 0.2).tolist() == [0, 0, 1, 0, 0, 0]


def batch(objective: PairObjective, a: list[list[float]], b: list[list[float]]) -> PairBatch:
    """One pair, every answer given as [log π], [rewards], [log π_ref] of its tokens."""
    read: dict[str, Any] = {}
    for side, (logp, reward, reference) in (("a", a), ("b", b)):
        values = torch.from_numpy(objective.values(np.array(reward), np.array(reference)))
        terms = token_terms(objective.name, torch.tensor(logp, dtype=torch.float64), values, objective.beta)
        read |= {f"{name}_{side}": value.sum()[None] for name, value in terms.items()}
        read |= {f"logp_{side}": torch.tensor([sum(logp)]), f"tokens_{side}": torch.tensor([float(len(logp))])}
        read[f"ref_{side}"] = torch.tensor([sum(reference)])
    return PairBatch(**read)


def loss(objective: PairObjective, a: list[list[float]], b: list[list[float]], p: float) -> float:
    pairs, made = batch(objective, a, b), PairLoss(objective)
    return made.own(pairs, made.margin(pairs), torch.tensor([p])).item()


def test_wspo_by_hand() -> None:
    """β ½. Of a: ½ (-1 + 2) - 1 = -½ and ½ (-3 + 1) - 1 = -2; of b: ½ (-2 + 2) - 3 = -3."""
    wspo = PairObjective("wspo", beta=0.5)
    a, b = [[-1.0, -3.0], [1.0, 1.0], [-2.0, -1.0]], [[-2.0], [3.0], [-2.0]]
    assert loss(wspo, a, b, 1.0) == pytest.approx((0.25 + 4.0) / 2)
    assert loss(wspo, a, b, 0.5) == pytest.approx((0.25 + 4.0) / 2)  # a label of a half means a
    assert loss(wspo, a, b, 0.49) == pytest.approx(9.0)
    assert wspo.preferred_only
    assert not PairObjective("wspo", alpha=0.5).preferred_only


def test_sepo_by_hand() -> None:
    """Half of the tokens: of a those of rewards 5 and 4 where it is chosen, of b that of -1 where it is rejected."""
    sepo = PairObjective("sepo", share=0.5)
    a = [[-1.0, -2.0, -3.0, -4.0], [0.0, 5.0, 1.0, 4.0], [0.0] * 4]
    b = [[-1.5, -0.5], [-1.0, 1.0], [0.0] * 2]
    chosen, rejected = {"a": (-2 - 4) / 2, "b": -0.5}, {"a": (-1 - 3) / 2, "b": -1.5}
    assert loss(sepo, a, b, 1.0) == pytest.approx(softplus(rejected["b"] - chosen["a"]))
    assert loss(sepo, a, b, 0.0) == pytest.approx(softplus(rejected["a"] - chosen["b"]))
    assert not sepo.preferred_only


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("layout", ["shared", "padded"])
def test_first_losses_worked_from_log_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """A batch of 8 pairs, from log-probabilities of tokens that were computed one text at a time."""
    from w2s_pref.training import effective

    monkeypatch.setattr(effective, "layout_of", lambda *_: layout)
    labels, model = [0.0, 1.0, 0.5, 0.2, 0.7, 0.9, 0.4, 0.6], make_policy()
    wspo, sepo = PairObjective("wspo", beta=0.2), PairObjective("sepo", share=0.3)
    work = job(wspo, n=8, p=labels)
    squares, margins = [], []
    for row, p in enumerate(labels):
        sides = [(work.a_ids, work.a_starts, 1), (work.b_ids, work.b_starts, 2)]
        (chosen, reward, base), (other, worse, _) = (
            (
                np.array(naive_tokens(model, ids[row], starts[row])),
                *token_numbers(len(ids[row]) - starts[row], seed, row),
            )
            for ids, starts, seed in (sides if p >= 0.5 else sides[::-1])
        )
        squares.append(np.mean((0.2 * (chosen - base) - reward) ** 2))
        best = np.argsort(-reward)[: max(1, int(0.3 * len(reward)))]
        worst = np.argsort(worse)[: max(1, int(0.3 * len(worse)))]
        margins.append(other[worst].mean() - chosen[best].mean())
    for objective, value in ((wspo, np.mean(squares)), (sepo, np.mean([softplus(each) for each in margins]))):
        first = train(tmp_path / objective.name, job(objective, n=8, p=labels))[1][0]
        assert first == pytest.approx(value, rel=EXACT)


def test_rewards_that_are_missing_are_a_sentence(tmp_path: Path) -> None:
    work = job(PairObjective("sepo"), n=8)
    work.a_values = []
    with pytest.raises(W2SError, match="sepo reads rewards of single tokens, but there are none"):
        train(tmp_path, work)


@dataclass
class Said:
    """A stage of token log-probabilities, and in the place of a builder what gives its table."""

    name: str
    ids: list[list[int]]
    each: list[list[float]]
    pairs: tuple[str, ...] = ("x", "y")

    def table(self, stage: Any) -> pd.DataFrame:
        """The stage's table."""
        lists = {"ids_a": [np.array(each, np.int32) for each in stage.ids],
                 "each_a": [np.array(each, np.float32) for each in stage.each]}  # fmt: skip
        return pd.DataFrame({"id": stage.pairs, **lists})


def test_rewards_are_joined_by_id_and_are_of_the_students_tokens() -> None:
    tokens = Tokenized(["y", "x"], [[1, 7, 8], [1, 2, 9]], [[1, 3], [1, 3]], [False] * 2, {}, [1, 2], [1, 1])
    tuned = Said("tuned", [[9], [7, 8]], [[-1.0], [-2.0, -3.0]])
    untuned = Said("untuned", [[9], [7, 8]], [[-1.5], [-2.5, -2.0]])
    rewards = TokenRewards((tuned,), (untuned,), (untuned,))
    (first, base), (second, _) = rewards.of(tuned, 0, tokens, "a")
    assert (first.tolist(), second.tolist(), base.tolist()) == ([0.5, -1.0], [0.5], [-2.5, -2.0])
    others = {
        "reads an answer of pair y as other tokens": Said("other", [[9], [7, 7]], [[-1.0], [-2.0, -3.0]]),
        "answer of pair x as other tokens": Said("short", [[7, 8]], [[-2.0, -3.0]], ("y",)),
    }
    for says, other in others.items():
        with pytest.raises(W2SError, match=says):
            TokenRewards((tuned,), (other,)).of(tuned, 0, tokens, "a")
    empty = Tokenized(["y"], [[1]], [[1, 3]], [False], {}, [1], [1])
    with pytest.raises(W2SError, match="answer of pair y has no token"):
        rewards.of(tuned, 0, empty, "a")
