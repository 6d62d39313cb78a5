"""Packed rows by a kernel for sequences of any length, which only GPUs have: here computed one sequence at a time."""

from __future__ import annotations

import inspect
from itertools import pairwise

import pytest
import torch
from float64 import EXACT
from rows_helpers import CONFIGS, PAD, gradients, loss_of, make, pairs
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from w2s_pref.models.batches import Row, collate, varlen
from w2s_pref.models.batches import batch as batch_room
from w2s_pref.models.batches.batch import filled
from w2s_pref.models.batches.varlen import Gathered, sequences_of

#: "1 2 3" then "4 5", "6" or "7 8"; and one of two answers.
THREE = Row(([1, 2, 3, 4, 5], [1, 2, 3, 6], [1, 2, 3, 7, 8]))
TWO = [Row(([1, 2, 3, 4, 5], [1, 2, 3, 6])), Row(([7, 8], [7, 9, 9]))]


def one_by_one(
    query: Tensor, key: Tensor, value: Tensor, queries: Tensor, keys: Tensor, most_queries: int, most_keys: int, *,
    scale: float | None,
) -> Tensor:  # fmt: skip
    """``varlen_attn`` with ``window_size=(-1, 0)``: the last query sees all keys, the one before one less."""
    found = []
    for (q, q_end), (k, k_end) in zip(pairwise(queries.tolist()), pairwise(keys.tolist()), strict=True):
        assert 0 < q_end - q <= most_queries
        assert q_end - q <= k_end - k <= most_keys
        seen = torch.ones(q_end - q, k_end - k, dtype=torch.bool).tril(k_end - k - q_end + q)
        parts = (each.transpose(0, 1) for each in (query[q:q_end], key[k:k_end], value[k:k_end]))
        found.append(scaled_dot_product_attention(*parts, seen, scale=scale, enable_gqa=True).transpose(0, 1))
    return torch.cat(found)


@pytest.fixture
def with_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varlen, "kernel", lambda: one_by_one)
    monkeypatch.setattr(varlen, "usable", lambda *_: True)


def test_sequences_by_hand() -> None:
    """Ten columns of two rows and six of fill, which is cut into one as long as the longest row and none more."""
    batch = filled(collate(TWO, 50, "packed"))
    found = batch.sequences
    assert found is not None
    assert found.queries.tolist() == [0, 5, 6, 8, 10, 16]
    assert found.keys.tolist() == [0, 5, 9, 11, 14, 20]
    assert found.columns.tolist() == [0, 1, 2, 3, 4, *[0, 1, 2, 5], 6, 7, *[6, 8, 9], *range(10, 16)]
    assert found.own.tolist() == [0, 1, 2, 3, 4, 8, 9, 10, 12, 13, *range(14, 20)]
    assert [[each.tolist() for each in pair] for pair in found.again] == [[[0, 1, 2, 6], [5, 6, 7, 11]]]
    assert found.longest == (6, 6)


def test_three_answers_see_one_prompt_and_the_fill_is_cut() -> None:
    batch = collate([THREE], 50, "packed")
    found = sequences_of(torch.cat([batch.segments[0], torch.full((10,), 4)]).numpy(), (8,))
    assert found.queries.tolist() == [0, 5, 6, 8, 16, 18]
    assert found.keys.tolist() == [0, 5, 9, 14, 22, 24]
    assert found.columns.tolist() == [*range(5), 0, 1, 2, 5, 0, 1, 2, 6, 7, *range(8, 18)]
    assert [[each.tolist() for each in pair] for pair in found.again] == [
        [[0, 1, 2], [5, 6, 7]], [[0, 1, 2], [9, 10, 11]]
    ]  # fmt: skip


def test_answers_without_a_common_beginning_are_sequences_of_their_own() -> None:
    batch = collate([Row(([1, 2], [3])), Row(([4, 5],))][:1], 50, "packed")
    found = sequences_of(batch.segments[0].numpy(), batch.sizes)
    assert (found.queries.tolist(), found.keys.tolist()) == ([0, 2, 3], [0, 2, 3])
    assert [each.tolist() for each in found.again[0]] == [[], []]


def test_one_text_a_row_needs_nothing_twice() -> None:
    batch = collate([Row(([1, 2, 3],)), Row(([4, 5],))], 50, "packed")
    found = sequences_of(batch.segments[0].numpy(), batch.sizes)
    assert (found.queries.tolist(), found.keys.tolist(), found.again) == ([0, 3, 5], [0, 3, 5], ())


@pytest.mark.usefixtures("float64")
def test_a_prefix_gets_the_gradients_of_all_texts() -> None:
    batch = filled(collate([THREE, Row(([7, 8], [7, 9, 9], [7]))], 50, "packed"))
    assert batch.sequences is not None
    values = torch.randn(batch.input_ids.shape[1], 2, requires_grad=True)
    assert torch.autograd.gradcheck(lambda each: Gathered.apply(each, batch.sequences), values)  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("float64", "with_kernel")
@pytest.mark.parametrize("head", ["reward", "policy"])
@pytest.mark.parametrize("family", CONFIGS)
def test_loss_and_gradients_are_those_of_padded_texts(family: str, head: str) -> None:
    model, rows = make(family, head), pairs(9)
    loss = loss_of(model, filled(collate(rows, PAD, "packed")), head)
    found = gradients(model, loss)
    other = loss_of(model, collate(rows, PAD, "padded"), head)
    assert loss.item() == pytest.approx(other.item(), abs=EXACT)
    expected = gradients(model, other)
    assert expected.abs().max() > 0.01
    assert (found - expected).abs().max() <= EXACT * max(1.0, float(expected.abs().max()))


@pytest.mark.usefixtures("with_kernel")
def test_a_batch_takes_its_sequences_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what fills it up is read by nobody: other tokens there, same bits."""
    monkeypatch.setattr(batch_room, "GROUPED_ON", ("cpu",))
    batch = collate([row for row in pairs(20) if 0 not in [*row.texts[0], *row.texts[1]]], PAD, "packed").to("cpu")
    assert batch.to("cpu").sequences is not None
    model = make("Qwen2", "reward")
    found = gradients(model, loss_of(model, batch, "reward"))
    assert not model.model.embed_tokens.weight.grad[0].any()
    batch.input_ids[0, sum(batch.sizes) :] = 33
    assert torch.equal(gradients(model, loss_of(model, batch, "reward")), found)


def test_torch_says_so_where_its_kernel_is_called_otherwise() -> None:
    """The installed version has it, causal by one of two words; on a CPU it is not taken."""
    found = varlen.kernel()
    assert found is not None
    assert found.keywords.items() <= {"window_size": (-1, 0), "is_causal": True, "enable_gqa": True}.items()  # type: ignore[attr-defined]
    assert found.keywords.keys() & {"window_size", "is_causal"}  # type: ignore[attr-defined]
    assert {"scale", *found.keywords} <= inspect.signature(found.func).parameters.keys()  # type: ignore[attr-defined]
    assert not varlen.usable(torch.zeros(1, 2, 3, 8), torch.zeros(1, 2, 3, 8), torch.bfloat16, 0.0)


@pytest.mark.parametrize(
    ("size", "values", "dtype", "dropout", "cuda", "taken"),
    [
        (64, 64, torch.bfloat16, 0.0, True, True),
        (64, 32, torch.bfloat16, 0.0, True, False),
        (12, 12, torch.float16, 0.0, True, False),
        (512, 512, torch.float16, 0.0, True, False),
        (64, 64, torch.float32, 0.0, True, False),
        (64, 64, torch.float16, 0.1, True, False),
        (64, 64, torch.float16, 0.0, False, False),
    ],
)
def test_what_the_kernel_takes(
    size: int, values: int, dtype: torch.dtype, dropout: float, cuda: bool, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values narrower than queries (DeepSeek), other heads and precisions, and dropout go to groups of rows."""

    class Heads:
        def __init__(self, width: int) -> None:
            self.shape, self.is_cuda, self.device = (1, 2, 3, width), cuda, "cuda"

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    assert varlen.usable(Heads(size), Heads(values), dtype, dropout) is taken  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (7, 5))
    assert not varlen.usable(Heads(size), Heads(values), dtype, dropout)  # type: ignore[arg-type]
