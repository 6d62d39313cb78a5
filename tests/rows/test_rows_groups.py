"""Packed rows as a GPU computes them, here on a CPU: attention in padded groups of rows, a filled sequence."""

from __future__ import annotations

import pytest
import torch
from float64 import EXACT
from rows_helpers import CONFIGS, PAD, gradients, loss_of, make, pairs
from torch import Tensor

from w2s_pref.models.batches import Row, RowBatch, collate, read_heads, training_layout
from w2s_pref.models.batches import batch as batch_room
from w2s_pref.models.batches import layout as layout_room
from w2s_pref.models.batches import packed as packed_room
from w2s_pref.models.batches.batch import FILL, filled
from w2s_pref.models.batches.packed import Attend, Taken, groups_of
from w2s_pref.models.batches.read import counting
from w2s_pref.training.compiled import Compiler, compiled

#: "1 2 3" then "4 5" or "6"; and "7" then "8" or "9 9".
TWO = [Row(([1, 2, 3, 4, 5], [1, 2, 3, 6]), (3, 3)), Row(([7, 8], [7, 9, 9]), (1, 1))]


@pytest.fixture(autouse=True)
def many_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a dozen tokens would all be one group."""
    monkeypatch.setattr(packed_room, "GROUP_OVERHEAD", 4)
    monkeypatch.setattr(packed_room, "WIDTH", 4)


def grouped(rows: list[Row]) -> RowBatch:
    """Some rows in several groups, heads and padding in each."""
    batch = filled(collate(rows, PAD, "packed"))
    assert len(rows) == 2 or len(groups_of(batch.sizes, batch.input_ids.shape[1]).shapes) > 2
    return batch


def test_the_fill_by_hand() -> None:
    """No column moves; the rest belongs to no row, counts as computed and not as real."""
    batch, plain = filled(collate(TWO, 50, "packed")), collate(TWO, 50, "packed")
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9, 9] + [0] * 6]
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1, 2, 0, 1, 2, 2] + [3] * 6]
    assert batch.positions is not None
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 3, 0, 1, 1, 2] + [0] * 6]
    assert (batch.real, batch.sizes, batch.last.tolist()) == (10, (6, 4), plain.last.tolist())
    with counting() as seen:
        read_heads(make("Llama", "reward"), batch)
    assert (seen.positions, seen.real) == (16, 10)


@pytest.mark.parametrize(("columns", "filled_up"), [(2, 2), (3, 4), (700, 1024), (1024, 1024), (1025, 2048)])
def test_lengths_are_few(columns: int, filled_up: int) -> None:
    """Powers of two, and from 1,024 on multiples of it: a batch of few tokens is not computed as one of many."""
    batch = collate([Row(([1] * (columns - 1), [1] * (columns - 2) + [2]))], 50, "packed") if columns > 2 else None
    batch = batch or collate([Row(([1], [2]))], 50, "packed")
    assert batch.input_ids.shape[1] == columns
    assert filled(batch).input_ids.shape[1] == filled_up


def test_only_packed_rows_on_their_way_to_a_gpu_are_filled_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not collate(TWO, PAD, "packed").to("cpu").grouped
    monkeypatch.setattr(batch_room, "GROUPED_ON", ("cpu",))
    batch = collate(TWO, PAD, "packed").to("cpu")
    assert batch.grouped
    assert batch.to("cpu").input_ids.shape == batch.input_ids.shape == (1, 16)
    assert not collate(TWO, PAD, "shared").to("cpu").grouped


def test_groups_by_hand() -> None:
    """Widths 4, 12, 4 and 8: the second's group pads the fourth by 4, what a group costs; two columns of fill."""
    groups = groups_of((3, 9, 4, 6), 24)
    assert groups.shapes == [(2, 12), (2, 4)]
    rows = [range(24, 27), range(12, 21), range(28, 32), range(6)]
    assert groups.slots.tolist() == [slot for row in [*rows, range(32, 34)] for slot in row]
    assert groups.size == FILL


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("head", ["reward", "policy"])
@pytest.mark.parametrize("family", CONFIGS)
def test_loss_and_gradients_are_those_of_padded_texts_and_of_shared_rows(family: str, head: str) -> None:
    model, rows = make(family, head), pairs(9)
    loss = loss_of(model, grouped(rows), head)
    found = gradients(model, loss)
    for layout in ("padded", "shared"):
        other = loss_of(model, collate(rows, PAD, layout), head)  # type: ignore[arg-type]
        assert loss.item() == pytest.approx(other.item(), abs=EXACT)
        expected = gradients(model, other)
        assert expected.abs().max() > 0.01
        assert (found - expected).abs().max() <= EXACT * max(1.0, float(expected.abs().max()))
    assert model.config._attn_implementation == "sdpa"


def test_what_fills_the_sequence_is_read_by_nobody() -> None:
    """Other tokens there, same bits; and the token there gets no gradient of its own."""
    model = make("Qwen2", "reward")
    batch = grouped([row for row in pairs(20) if 0 not in [*row.texts[0], *row.texts[1]]])
    found = gradients(model, loss_of(model, batch, "reward"))
    assert not model.model.embed_tokens.weight.grad[0].any()
    batch.input_ids[0, sum(batch.sizes) :] = 33
    assert torch.equal(gradients(model, loss_of(model, batch, "reward")), found)


def attended(attend: Attend, values: list[Tensor]) -> list[Tensor]:
    """What a sum of squares of the outputs is, and its gradients of query, key and value."""
    leaves = [each.clone().requires_grad_() for each in values]
    output = attend(*leaves, 0.0, None)
    (output**2).sum().backward()
    return [output.detach(), *(each.grad for each in leaves if each.grad is not None)]


@pytest.mark.usefixtures("float64")
def test_attention_of_the_fill_is_nothing() -> None:
    """4 heads on 2 of keys, NaN in the fill: outputs and gradients are those of each row by itself."""
    batch = grouped(pairs(9))
    real, columns = sum(batch.sizes), batch.input_ids.shape[1]
    values = [torch.randn(1, heads, columns, 8) for heads in (4, 2, 2)]
    each_alone = packed_room._row_after_row(collate(pairs(9), PAD, "packed"))
    alone = attended(each_alone, [each[:, :, :real] for each in values])
    for each in values:
        each[:, :, real:] = torch.nan
    output, *found = attended(packed_room._in_groups(batch), values)
    assert output.shape == (1, columns, 4, 8)
    assert not output[:, real:].any()
    assert (output[:, :real] - alone[0]).abs().max() <= EXACT
    for each, expected in zip(found, alone[1:], strict=True):
        assert not each[:, :, real:].any()
        assert (each[:, :, :real] - expected).abs().max() <= EXACT


@pytest.mark.usefixtures("float64")
def test_taken_entries_get_their_gradients() -> None:
    values, slots = torch.randn(7, 2, requires_grad=True), torch.tensor([5, 0, 3])
    assert torch.autograd.gradcheck(lambda each: Taken.apply(each, slots), values)  # type: ignore[no-untyped-call]


def test_large_models_are_packed_under_autocast_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check pads in the precision that it computes in; rotary embeddings leave queries in 32 bits."""
    monkeypatch.setattr(layout_room, "PACKED_FROM", 32)
    monkeypatch.setattr(batch_room, "GROUPED_ON", ("cpu",))
    model, rows = make("Qwen2", "reward"), pairs(9)
    model.forward = torch.autocast("cpu", dtype=torch.bfloat16)(model.forward)
    assert training_layout(model, PAD) == "packed"
    packed, padded = (loss_of(model, batch, "reward").item() for batch in (grouped(rows), collate(rows, PAD, "padded")))
    assert packed == pytest.approx(padded, rel=0.02)


def test_layers_may_be_compiled() -> None:
    """Attention stays outside of the graphs, so none is made for one batch only: two or so a mode, not two a batch."""
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    counter = CompileCounter()
    plain, model = make("Qwen2", "reward").train(), make("Qwen2", "reward").train()
    made = []
    with compiled(model, Compiler(counter)):
        for n in (9, 40, 80, 30):
            rows = pairs(n, n)
            expected, found = (loss_of(each, grouped(rows), "reward") for each in (plain, model))
            made.append(counter.frame_count)
            assert found.item() == pytest.approx(expected.item(), rel=1e-5)
            assert (gradients(model, found) - gradients(plain, expected)).abs().max() <= 1e-5
    assert made[0] > 0
    assert made[-1] == made[1], made


@pytest.mark.parametrize("grouped", [True, False])
def test_a_model_stays_as_it_was_where_masks_find_no_memory(grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the check of layouts would leave a model that attends as packed rows do, and shares none."""

    def no_memory(_segments: Tensor) -> Tensor:
        raise RuntimeError("out of memory")

    model, batch = make("Llama", "reward"), collate(TWO, PAD, "packed")
    before = model.config._attn_implementation
    monkeypatch.setattr(packed_room, "visible", no_memory)
    with pytest.raises(RuntimeError, match="out of memory"):
        read_heads(model, filled(batch) if grouped else batch)
    assert model.config._attn_implementation == before
