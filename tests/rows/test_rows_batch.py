"""Rows as tensors, by hand: prefix, columns, positions, ends, predictors, and who sees whom."""

from __future__ import annotations

from array import array

import pytest
import torch
from rows_helpers import pairs

from w2s_pref.data.token_cache import Tokenized
from w2s_pref.models.batches import Row, collate, row_length
from w2s_pref.models.batches.each import distinct, pair_rows
from w2s_pref.models.batches.read import attention_mask, mask_mod, visible

#: "1 2 3" then "4 5" or "6"; and "7" then "8" or "9 9".
TWO = [Row(([1, 2, 3, 4, 5], [1, 2, 3, 6]), (3, 3)), Row(([7, 8], [7, 9, 9]), (1, 1))]


@pytest.mark.parametrize(
    ("texts", "prefix", "shared", "padded"),
    [
        (([1, 2, 3, 4, 5], [1, 2, 3, 6]), 3, 6, 10),
        (([1, 2, 3], [1, 2, 3]), 2, 4, 6),  # each text keeps a token of its own
        (([1, 2, 3], [1, 2]), 1, 4, 6),
        (([1], [2, 3]), 0, 3, 4),
        (((1, 2), [1, 3]), 1, 3, 4),  # a tuple and a list
        (([1, 2, 3],), 2, 3, 3),
        (([1, 2, 3], [1, 2, 4], [1, 5]), 1, 6, 9),
    ],
)
def test_lengths(texts: tuple[list[int], ...], prefix: int, shared: int, padded: int) -> None:
    row = Row(texts)
    assert row.prefix == prefix
    assert (row_length(row, "shared"), row_length(row, "padded")) == (shared, padded)


def test_shared_by_hand() -> None:
    batch = collate(TWO, 0, "shared")
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 9, 0, 0]]
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1, 2], [0, 1, 2, 2, 3, 3]]
    assert batch.positions is not None
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 3], [0, 1, 1, 2, 0, 0]]
    assert batch.last.tolist() == [[4, 7], [5, 9]]
    assert (batch.texts, batch.real) == (2, 10)


def test_packed_by_hand() -> None:
    batch = collate(TWO, 0, "packed")
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9, 9]]
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1, 2, 0, 1, 2, 2]]
    assert batch.positions is not None
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 3, 0, 1, 1, 2]]
    assert batch.last.tolist() == [[4, 7], [5, 9]]
    assert (batch.texts, batch.real, batch.sizes) == (2, 10, (6, 4))
    assert batch.responses is not None
    assert batch.responses.predictors.tolist() == [2, 3, 6, 2, 6, 8]


def test_padded_by_hand() -> None:
    batch = collate(TWO, 0, "padded")
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5], [7, 8, 0, 0, 0], [1, 2, 3, 6, 0], [7, 9, 9, 0, 0]]
    assert (batch.segments == 0).long().tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]]
    assert batch.positions is None
    assert batch.last.tolist() == [[4, 6], [13, 17]]
    assert batch.real == 14


def test_responses_by_hand() -> None:
    """The first token of either answer is predicted from the last column of the prompt."""
    shared, padded = collate(TWO, 0, "shared").responses, collate(TWO, 0, "padded").responses
    assert shared is not None
    assert padded is not None
    assert shared.targets.tolist() == padded.targets.tolist() == [4, 5, 8, 6, 9, 9]
    assert shared.owners.tolist() == padded.owners.tolist() == [0, 0, 1, 2, 3, 3]
    assert shared.counts.tolist() == padded.counts.tolist() == [[2, 1], [1, 2]]
    assert shared.predictors.tolist() == [2, 3, 6, 2, 6, 8]
    assert padded.predictors.tolist() == [2, 3, 5, 12, 15, 16]


def test_response_tokens_in_the_prefix_count_for_both() -> None:
    batch = collate([Row(([1, 2, 3, 4], [1, 2, 3, 5, 6]), (1, 2))], 0, "shared")
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5, 6]]
    assert batch.responses is not None
    assert batch.responses.targets.tolist() == [2, 3, 4, 3, 5, 6]
    assert batch.responses.predictors.tolist() == [0, 1, 2, 1, 2, 4]
    assert batch.responses.counts.tolist() == [[3], [3]]


@pytest.mark.parametrize("layout", ["shared", "padded"])
def test_a_response_begins_at_one_or_later(layout: str) -> None:
    with pytest.raises(ValueError, match="index 1 or later"):
        collate([Row(([1, 2],), (0,))], 0, layout)  # type: ignore[arg-type]


def test_mask_by_hand() -> None:
    """Prompt of 2, answers of 2 and 1, one column of padding."""
    drawn = ["#.....",
             "##....",
             "###...",
             "####..",
             "##..#.",
             "##...#"]  # fmt: skip
    segments = torch.tensor([[0, 0, 1, 1, 2, 3]])
    expected = torch.tensor([[sign == "#" for sign in line] for line in drawn])
    assert (visible(segments)[0] == expected).all()
    added = attention_mask(segments, "eager", torch.float32)
    assert added.shape == (1, 1, 6, 6)
    assert ((added[0, 0] == 0) == expected).all()
    assert added.min() < -1e38
    assert (attention_mask(segments, "sdpa", torch.float32)[0, 0] == expected).all()


def test_flex_rule_is_the_dense_mask() -> None:
    segments = collate(pairs(9), 100, "shared").segments
    rule, (height, width) = mask_mod(segments), segments.shape
    at = torch.meshgrid(torch.arange(height), torch.arange(width), torch.arange(width), indexing="ij")
    assert (rule(at[0], torch.tensor(0), at[1], at[2]) == visible(segments)).all()
    block = attention_mask(segments, "flex_attention", torch.float32)
    assert block.shape == (height, 1, width, width)


def test_flash_attention_takes_no_branches() -> None:
    with pytest.raises(ValueError, match="flash_attention_2"):
        attention_mask(torch.zeros(1, 2), "flash_attention_2", torch.float32)


def test_moves_whole() -> None:
    moved = collate(TWO, 0, "shared").to("meta")
    assert moved.responses is not None
    assert moved.positions is not None
    tensors = (moved.input_ids, moved.segments, moved.positions, moved.last, moved.responses.predictors)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.real == 10


def tokens_of(a: list[list[int]], b: list[list[int]], starts: tuple[list[int], list[int]] = ([], [])) -> Tokenized:
    a_ids, b_ids = ([array("i", ids) for ids in side] for side in (a, b))
    return Tokenized([str(row) for row in range(len(a))], a_ids, b_ids, [False] * len(a), {}, *starts)


def test_each_distinct_text_of_the_pairs_lies_in_one_row() -> None:
    """The second pair brings one new text, the third none, the fourth one text that is both its answers."""
    rows, places = pair_rows(tokens_of([[1, 2], [1, 2], [3], [5]], [[1, 3], [3], [1, 2], [5]]))
    assert [[list(text) for text in row.texts] for row in rows] == [[[1, 2], [1, 3]], [[3]], [[5]]]
    assert [row.starts for row in rows] == [(), (), ()]
    assert places.tolist() == [[0, 0, 2, 3], [1, 2, 0, 3]]


def test_the_same_ids_with_another_response_are_another_text() -> None:
    rows, places = pair_rows(tokens_of([[1, 2, 3], [1, 2, 3]], [[1, 2, 3], [1, 4]], ([1, 2], [2, 1])))
    assert [row.starts for row in rows] == [(1, 2), (1,)]
    assert places.tolist() == [[0, 1], [1, 2]]


def test_distinct_texts_keep_the_order_of_first_sight() -> None:
    assert distinct("banana") == (["b", "a", "n"], [0, 1, 2, 1, 2, 1])
    assert distinct([]) == ([], [])
