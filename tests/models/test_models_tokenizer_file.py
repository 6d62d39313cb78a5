"""What a tokenizer.json says is parsed once for equal files, and anew when a file changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from w2s_pref.models import tokenizer_file as read
from w2s_pref.models.tokenizer_file import tokenizer_file


def _write(folder: Path, *words: str) -> Path:
    folder.mkdir(exist_ok=True)
    vocabulary = {word: number for number, word in enumerate(words)}
    content = {"added_tokens": [{"id": 0, "content": "<s>"}], "model": {"vocab": vocabulary, "unk_token": "?"}}
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_equal_files_are_parsed_once_and_say_their_own_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Path] = []
    original = read.read_json
    monkeypatch.setattr(read, "read_json", lambda path, what: (parsed.append(path), original(path, what))[1])
    first, second = (tokenizer_file(_write(tmp_path / name, "<s>", "parsed", "once")) for name in "ab")
    assert first is not None
    assert second is not None
    assert parsed == [tmp_path / "a" / "tokenizer.json"]
    assert first == second
    assert hash(first) == hash(second)
    assert (first.path, second.path) == (tmp_path / "a" / "tokenizer.json", tmp_path / "b" / "tokenizer.json")
    assert (first.added, first.unknown) == (("<s>",), "?")


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    before = tokenizer_file(_write(tmp_path / "a", "<s>", "one"))
    after = tokenizer_file(_write(tmp_path / "a", "<s>", "one", "more"))
    assert before is not None
    assert after is not None
    assert before.vocabulary != after.vocabulary
    assert before != after
