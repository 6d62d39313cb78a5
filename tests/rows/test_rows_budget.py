"""Micro-batches: the cheapest contiguous partition of the sorted rows, against all of them."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import pytest
import torch
from rows_helpers import make

from w2s_pref.models.batches import budget


def every(lengths: list[int], most: int) -> list[list[list[int]]]:
    """All contiguous partitions of the sorted rows that keep to the budget."""
    order, n = sorted(range(len(lengths)), key=lambda row: lengths[row]), len(lengths)
    found = []
    for count in range(n):
        for cuts in combinations(range(1, n), count):
            groups = [order[start:end] for start, end in pairwise([0, *cuts, n])]
            if all(len(group) == 1 or cost(lengths, [group], 0) <= most for group in groups):
                found.append(groups)
    return found


def cost(lengths: list[int], groups: list[list[int]], overhead: int) -> int:
    return sum(max(lengths[row] for row in group) * len(group) + overhead for group in groups)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("overhead", [0, 5, 64])
def test_cheapest_of_all(seed: int, overhead: int) -> None:
    draw = random.Random(seed)
    lengths = [draw.randint(1, 30) for _ in range(draw.randint(1, 8))]
    most = draw.choice([1, 20, 45, 1000])
    groups = budget.split(lengths, most, overhead=overhead)
    allowed = every(lengths, most)
    assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
    assert all(len(group) == 1 or cost(lengths, [group], 0) <= most for group in groups)
    assert cost(lengths, groups, overhead) == min(cost(lengths, each, overhead) for each in allowed)


def test_by_hand() -> None:
    """[3 4 4] and [9] compute 12 + 9 tokens; all in one 36; the long row is alone whatever the budget."""
    assert budget.split([3, 9, 4, 4, 50], 20, overhead=5) == [[4], [1], [0, 2, 3]]
    assert budget.split([3, 9, 4, 4], 36, overhead=20) == [[0, 2, 3, 1]]
    assert budget.split([], 10) == []


def test_packed_by_hand() -> None:
    """No padding: batches are filled, longest rows first, and a row that is too long is alone."""
    assert budget.split([3, 9, 4, 4, 50], 20, padded=False) == [[4], [1, 3, 2, 0]]
    assert budget.split([3, 9, 4, 4], 12, padded=False) == [[1], [3, 2, 0]]
    assert budget.split([], 10, padded=False) == []


def test_thousands_of_rows() -> None:
    draw = random.Random(0)
    lengths = [draw.randint(20, 512) for _ in range(5000)]
    groups = budget.split(lengths, 4096)
    assert sum(map(len, groups)) == 5000
    assert cost(lengths, groups, 0) <= 1.04 * sum(lengths)


def test_small_models_want_fewer_batches() -> None:
    """9000 / 32, as measured on a CPU."""
    assert budget.overhead(make("Llama", "reward")) == 281


def test_tokens_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary of 104 allows 10 tokens where 1,040 logits are the most; a reward model has no logits."""
    policy, reward = make("Llama", "policy"), make("GPT2", "reward")
    assert budget.tokens_at_once(policy) == budget.tokens_at_once(reward) == budget.CPU_TOKENS
    monkeypatch.setattr(budget, "MOST_LOGITS", 1040)
    assert budget.tokens_at_once(policy) == 10
    assert budget.tokens_at_once(reward) == budget.CPU_TOKENS


def test_memory_of_a_token() -> None:
    """34 bytes x 32 x 2 layers in 16 bits, twice that in 32; 12 bytes a logit."""
    assert budget.token_bytes(make("GPT2", "reward")) == 2 * 34 * 32 * 2
    assert budget.token_bytes(make("Llama", "policy").bfloat16()) == 34 * 32 * 2 + 12 * 104


def test_what_training_adds() -> None:
    """Gradients and two moments of trained weights, 16-bit copies of all; what the optimizer holds already is there."""
    model = make("Llama", "reward")
    size = sum(weight.nbytes for weight in model.parameters())
    assert budget.to_come(model) == 3 * size + size // 2
    optimizer = torch.optim.AdamW(model.parameters())
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    steps = 4 * len(list(model.parameters()))
    assert budget.to_come(model, optimizer) == size + size // 2 - steps
    model.requires_grad_(False)
    assert budget.to_come(model.bfloat16()) == 0
