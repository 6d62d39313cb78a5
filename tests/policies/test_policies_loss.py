"""Margins and losses of pairwise methods, worked by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from w2s_pref.core.errors import W2SError
from w2s_pref.losses import margins
from w2s_pref.losses.margins import PairBatch, bound, margin, needs_reference
from w2s_pref.losses.pairs import PairLoss, PairObjective
from w2s_pref.losses.spec import LossSpec, checked


def batch(reference: bool = True) -> PairBatch:
    """Two pairs: -6 over 3 tokens against -8 over 2, and -5 over 5 against -2 over 4; the reference says other sums."""
    values = {
        "logp_a": [-6.0, -5.0], "logp_b": [-8.0, -2.0], "tokens_a": [3.0, 5.0], "tokens_b": [2.0, 4.0],
    }  # fmt: skip
    if reference:
        values |= {"ref_a": [-9.0, -5.0], "ref_b": [-7.0, -4.0]}
    return PairBatch(**{name: torch.tensor(value) for name, value in values.items()})


def total(loss: PairLoss, pairs: PairBatch, target: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
    """The method's loss and the conflict's together."""
    margin = loss.margin(pairs)
    return loss.own(pairs, margin, target) + loss.conflict(pairs, margin, sign)


def losses(objective: PairObjective, p: list[float], sign: list[float] | None = None) -> list[float]:
    return total(PairLoss(objective), batch(), torch.tensor(p), torch.tensor(sign or [0.0, 0.0])).tolist()


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dpo", [0.5 * (3 - -1), 0.5 * (0 - 2)]),  # log-ratios 3 and -1; 0 and 2
        ("simpo", [0.5 * (-2 - -4), 0.5 * (-1 - -0.5)]),  # means -2 and -4; -1 and -0.5
        ("ipo", [1 - -0.5, 0 - 0.5]),  # log-ratios per token
        ("sft", [2.0, -0.5]),
    ],
)
def test_margins_by_hand(name: str, expected: list[float]) -> None:
    assert bound(name, 0.5, {})(batch()).tolist() == pytest.approx(expected)
    assert needs_reference(name) == (name in {"dpo", "ipo"})


def test_the_sft_term_by_hand() -> None:
    """β ½: margins 2 and -1. It is the mean loss of the preferred answer: 2 for a of the first pair, ½ for b."""
    found = losses(PairObjective("dpo", beta=0.5, sft_weight=0.2), [1.0, 0.0])
    assert found == pytest.approx([softplus(-2) + 0.2 * 6 / 3, softplus(-1) + 0.2 * 2 / 4])
    assert not PairObjective("dpo", sft_weight=0.2).preferred_only


def test_no_sft_weight_is_dpo_to_the_bit() -> None:
    plain, none = PairObjective("dpo", beta=0.3), PairObjective("dpo", beta=0.3, sft_weight=0.0)
    assert losses(none, [0.3, 1.0]) == losses(plain, [0.3, 1.0])


def test_simpo_by_hand() -> None:
    """β 2, γ 1: margins 4 and -1. Nothing but the margin counts: no likelihood term, whatever p."""
    simpo = PairObjective("simpo", beta=2.0, gamma=1.0)
    assert losses(simpo, [1.0, 1.0]) == pytest.approx([softplus(1 - 4), softplus(1 + 1)])
    assert losses(simpo, [0.0, 0.25]) == pytest.approx([softplus(1 + 4), 0.25 * softplus(2) + 0.75 * softplus(1 - 1)])
    less_likely = PairBatch(torch.tensor([-60.0]), torch.tensor([-44.0]), torch.tensor([3.0]), torch.tensor([2.0]))
    assert total(PairLoss(simpo), less_likely, torch.ones(1), torch.zeros(1)).item() == pytest.approx(softplus(1 - 4))


def test_ipo_by_hand() -> None:
    """β 0.25: the margins 1.5 and -0.5 should be 2 where a is preferred, -2 where b is."""
    ipo = PairObjective("ipo", beta=0.25)
    assert losses(ipo, [1.0, 0.0]) == pytest.approx([0.5**2, 1.5**2])
    assert losses(ipo, [0.5, 0.2]) == pytest.approx([0.5 * 0.25 + 0.5 * 3.5**2, 0.2 * 2.5**2 + 0.8 * 1.5**2])


def test_sft_by_hand() -> None:
    """Mean loss per token of the preferred answer; a label of ½ means a."""
    assert losses(PairObjective("sft"), [1.0, 1.0]) == pytest.approx([2.0, 1.0])
    assert losses(PairObjective("sft"), [0.49, 0.5]) == pytest.approx([4.0, 1.0])
    assert PairObjective("sft").preferred_only
    assert not PairObjective("sft", student=LossSpec(name="aux_confidence")).preferred_only
    assert not PairObjective("simpo").preferred_only


def test_explicit_reverse_by_hand() -> None:
    """DPO β ½, margins 2 and -1. The truth is b, then a: wrong both times, so paid by the reversed truth's loss."""
    dpo = PairObjective("dpo", beta=0.5, alpha=2.0)
    own = [softplus(-2), softplus(1)]
    assert losses(dpo, [1.0, 1.0], [-1.0, 1.0]) == pytest.approx([own[0] + 2 * softplus(-2), own[1] + 2 * softplus(-1)])
    assert losses(dpo, [1.0, 1.0], [1.0, -1.0]) == pytest.approx(own)
    assert losses(dpo, [1.0, 1.0], [0.0, 0.0]) == pytest.approx(own)


def test_explicit_sft_by_hand() -> None:
    """The mean-token loss of the answer that the truth disprefers: a (2.0) in the first pair, b (0.5) in the second."""
    for name in ("dpo", "sft"):
        plain = losses(PairObjective(name, beta=0.5), [1.0, 1.0])
        paid = losses(PairObjective(name, beta=0.5, alpha=3.0, conflict="sft"), [1.0, 1.0], [-1.0, 1.0])
        assert paid == pytest.approx([plain[0] + 3 * 2.0, plain[1] + 3 * 0.5])
    reverse = losses(PairObjective("sft", alpha=3.0), [1.0, 1.0], [-1.0, 1.0])
    assert reverse == pytest.approx([2.0 + 3 * 2.0, 1.0 + 3 * 0.5])  # SFT's own loss of the reversed truth is the same


def test_explicit_reverse_of_ipo_and_simpo_uses_their_own_loss() -> None:
    ipo = losses(PairObjective("ipo", beta=0.25, alpha=1.0), [1.0, 1.0], [-1.0, 0.0])
    assert ipo == pytest.approx([0.5**2 + 0.5**2, 2.5**2])
    simpo = losses(PairObjective("simpo", beta=2.0, gamma=1.0, alpha=1.0), [0.0, 1.0], [-1.0, 0.0])
    assert simpo == pytest.approx([softplus(1 + 4) + softplus(1 - 4), softplus(2)])


@pytest.mark.parametrize("conflict", ["reverse", "sft"])
def test_a_tie_is_not_wrong_and_the_indicator_has_no_gradient(conflict: str) -> None:
    logp = torch.tensor([-4.0, -3.0], requires_grad=True)
    tokens = torch.tensor([2.0, 2.0])
    pairs = PairBatch(logp, torch.tensor([-4.0, -5.0]), tokens, tokens)
    paid = PairLoss(PairObjective("simpo", beta=1.0, alpha=1.0, conflict=conflict))  # type: ignore[arg-type]
    plain = PairLoss(PairObjective("simpo", beta=1.0))
    half, sign = torch.full((2,), 0.5), torch.tensor([-1.0, -1.0])
    extra = total(paid, pairs, half, sign) - total(plain, pairs, half, sign)
    assert extra[0] == 0
    extra.sum().backward()  # only the second is wrong: it is paid to raise the mean log-probability of a, margin 1
    expected = -0.5 / (1 + math.exp(1)) if conflict == "reverse" else -0.5
    assert logp.grad is not None
    assert logp.grad.tolist() == pytest.approx([0.0, expected])


def test_responses_without_tokens_have_no_mean() -> None:
    empty = PairBatch(torch.zeros(1), torch.tensor([-3.0]), torch.zeros(1), torch.tensor([3.0]))
    assert bound("simpo", 1.0, {})(empty).item() == 1.0


def test_a_registered_margin() -> None:
    @margin("policies-test-difference", reference=False)
    def difference(pairs: PairBatch) -> Tensor:
        return pairs.logp_a - pairs.logp_b

    assert not needs_reference("policies-test-difference")
    assert bound("policies-test-difference", 0.1, {})(batch(reference=False)).tolist() == [2.0, -3.0]
    assert margins.loss_of("policies-test-difference") == "bce"


def test_wrong_margins_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def plain(batch, scale=1):\n    return batch.ratio_a * scale\n")
    assert needs_reference("own.py:plain", tmp_path)
    with pytest.raises(W2SError, match="got an unexpected keyword argument 'size'; check its options"):
        bound("own.py:plain", 0.1, {"size": 2}, tmp_path)
    with pytest.raises(W2SError, match="register it with reference=True"):
        bound("own.py:plain", 0.1, {"scale": 2}, tmp_path)(batch(reference=False))
    with pytest.raises(W2SError, match="unknown margin 'dbo'; did you mean 'dpo'"):
        bound("dbo", 0.1, {})
    with pytest.raises(W2SError, match=r"something that is a tensor of torch\.int64"):
        checked(torch.tensor([1, 2]), batch().logp_a, "margin")
    with pytest.raises(W2SError, match="something that is of type list"):
        checked([1.0, 2.0], batch().logp_a, "margin")
