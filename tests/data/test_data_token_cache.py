"""Token ids on disk: the same pairs are tokenised once, and what comes back is what was written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from data_helpers import LINES, byte_tokenizer

from w2s_pref.data import render, token_cache
from w2s_pref.data.tokens import Overlong, tokenize


def frame(rows: int = 5) -> pd.DataFrame:
    texts = {"prompt": [f"how do i clean the oven {at}?" for at in range(rows)], "a": " use lemon!", "b": " no"}
    return pd.DataFrame({"id": [f"n{at}" for at in range(rows)], "form": "text", **texts})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts every call of a tokenizer was given."""
    given: list[int] = []
    encode = render.Renderer._encode_chunk
    monkeypatch.setattr(
        render.Renderer, "_encode_chunk", lambda self, chunk: given.append(len(chunk)) or encode(self, chunk)
    )
    return given


@pytest.mark.parametrize(
    ("limit", "overlong", "starts"), [(None, "truncate", False), (20, "truncate", True), (36, "drop", True)]
)
def test_what_comes_back_is_what_was_written(
    limit: int | None, overlong: Overlong, starts: bool, tmp_path: Path, calls: list[int]
) -> None:
    tokenizer = byte_tokenizer()
    expected = tokenize(frame(), tokenizer, limit, overlong, starts)
    with token_cache.kept_in(tmp_path):
        first = tokenize(frame(), tokenizer, limit, overlong, starts)
        made = len(calls)
        again = tokenize(frame(), tokenizer, limit, overlong, starts)
    assert len(calls) == made
    assert first == again == expected
    assert len(list(tmp_path.iterdir())) == 1


def test_other_texts_settings_and_tokenizers_are_other_entries(tmp_path: Path) -> None:
    other = byte_tokenizer()
    other.chat_template = "{{ messages }}"
    with token_cache.kept_in(tmp_path):
        for rows, tokenizer, limit in ((5, byte_tokenizer(), 20), (4, byte_tokenizer(), 20), (5, byte_tokenizer(), 21)):
            tokenize(frame(rows), tokenizer, limit)
        tokenize(frame(), other, 20)
    assert len(list(tmp_path.iterdir())) == 4


def test_reward_models_and_policies_share_an_entry(tmp_path: Path, calls: list[int]) -> None:
    tokenizer = byte_tokenizer()
    with token_cache.kept_in(tmp_path):
        bare = tokenize(frame(), tokenizer, 20)
        made = len(calls)
        full = tokenize(frame(), tokenizer, 20, starts=True)
    assert len(calls) == made
    assert (bare.a_starts, full.a_starts) == ([], tokenize(frame(), tokenizer, 20, starts=True).a_starts)


def test_a_damaged_entry_is_made_again(tmp_path: Path, calls: list[int]) -> None:
    with token_cache.kept_in(tmp_path):
        first = tokenize(frame(), byte_tokenizer(), 20)
        (entry,) = tmp_path.iterdir()
        entry.write_bytes(entry.read_bytes()[:40])
        made = len(calls)
        assert tokenize(frame(), byte_tokenizer(), 20) == first
    assert len(calls) > made


def test_one_flipped_bit_is_made_again(tmp_path: Path, calls: list[int]) -> None:
    with token_cache.kept_in(tmp_path):
        first = tokenize(frame(), byte_tokenizer(), 20)
        (entry,) = tmp_path.iterdir()
        good = entry.read_bytes()
        for place in (-1, -40, -100):
            damaged = bytearray(good)
            damaged[place] ^= 1
            entry.write_bytes(damaged)
            made = len(calls)
            assert tokenize(frame(), byte_tokenizer(), 20) == first
            assert len(calls) > made
            good = entry.read_bytes()


def test_an_entry_under_the_name_of_another_is_made_again(tmp_path: Path, calls: list[int]) -> None:
    with token_cache.kept_in(tmp_path):
        first = tokenize(frame(), byte_tokenizer(), 20)
        (entry,) = tmp_path.iterdir()
        tokenize(frame(3), byte_tokenizer(), 20)
        (other,) = set(tmp_path.iterdir()) - {entry}
        other.replace(entry)
        made = len(calls)
        assert tokenize(frame(), byte_tokenizer(), 20) == first
    assert len(calls) > made


def test_entries_have_the_mode_of_the_umask(tmp_path: Path) -> None:
    with token_cache.kept_in(tmp_path):
        tokenize(frame(), byte_tokenizer(), 20)
    (tmp_path / "new").touch()
    assert {path.stat().st_mode for path in tmp_path.iterdir()} == {(tmp_path / "new").stat().st_mode}


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with token_cache.kept_in(tmp_path / "file" / "tokens"):
        assert len(tokenize(frame(), byte_tokenizer(), 20).ids) == 5


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tokenize(frame(), byte_tokenizer(), 20)
    assert not list(tmp_path.iterdir())


def test_a_padding_call_in_between_changes_no_entry(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    with token_cache.kept_in(tmp_path):
        tokenize(frame(), tokenizer, 20)
        tokenizer(LINES[:2], padding=True, truncation=True, max_length=4)
        tokenize(frame(), tokenizer, 20)
    assert len(list(tmp_path.iterdir())) == 1
