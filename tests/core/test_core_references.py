"""Files that recipes refer to run as they stand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.core.references import resolve
from w2s_pref.core.source_hash import source_hash
from w2s_pref.core.user_code import asked
from w2s_pref.core.user_files import keyed_texts


def test_an_edit_of_the_same_second_and_size_is_seen(tmp_path: Path) -> None:
    """Python takes bytecode for a file whose size and second of change are the same."""
    file = tmp_path / "mine.py"
    for number, value in enumerate("12"):
        file.write_text(f"VALUE = {value}\n", encoding="utf-8")
        os.utime(file, ns=(0, 1_700_000_000_000_000_000 + number))
        assert resolve("mine.py:VALUE", tmp_path) == int(value)
    assert not (tmp_path / "__pycache__").exists()


def write(file: Path, value: int) -> None:
    file.write_text(f"VALUE = {value}\n", encoding="utf-8")
    os.utime(file, ns=(0, 1_700_000_000_000_000_000 + value))


@pytest.mark.parametrize("loaded", [True, False])
def test_what_is_built_is_the_text_that_the_keys_hold(tmp_path: Path, loaded: bool) -> None:
    """Edited meanwhile, a file that ran before runs on as it was, and another is refused. Anew, the edit counts."""
    file, texts = tmp_path / "mine.py", dict[Path, str]()
    write(file, 1)
    with keyed_texts(texts):
        before = source_hash("mine.py:VALUE", tmp_path)
        if loaded:
            assert resolve("mine.py:VALUE", tmp_path) == 1
    write(file, 2)
    with keyed_texts(texts):
        assert source_hash("mine.py:VALUE", tmp_path) == before  # all keys of a recipe are of one text
    with keyed_texts(texts, built=True):
        if loaded:
            assert resolve("mine.py:VALUE", tmp_path) == 1
        else:
            with pytest.raises(W2SError, match=r"mine.py was edited while this run was built"):
                resolve("mine.py:VALUE", tmp_path)
    with keyed_texts({}):
        assert source_hash("mine.py:VALUE", tmp_path) != before
        assert resolve("mine.py:VALUE", tmp_path) == 2
    with keyed_texts(texts, built=True), pytest.raises(W2SError, match="was edited"):  # another recipe ran the edit
        resolve("mine.py:VALUE", tmp_path)


def test_a_text_that_came_between_a_key_and_its_first_run_is_refused(tmp_path: Path) -> None:
    file, texts = tmp_path / "mine.py", dict[Path, str]()
    write(file, 1)
    with keyed_texts(texts):
        source_hash("mine.py:VALUE", tmp_path)
        write(file, 2)
        assert resolve("mine.py:VALUE", tmp_path) == 2
    with keyed_texts(texts, built=True), pytest.raises(W2SError, match="was edited"):
        resolve("mine.py:VALUE", tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import sys; sys.exit(3)", "failed: SystemExit: 3"),
        ("from .helper import VALUE", "import by absolute names, or write package.module:name"),
    ],
)
def test_a_file_that_cannot_be_run(tmp_path: Path, line: str, said: str) -> None:
    """A script that ends Python ended the command without a word."""
    (tmp_path / "mine.py").write_text(line + "\nVALUE = 1\n", encoding="utf-8")
    with pytest.raises(W2SError) as error:
        resolve("mine.py:VALUE", tmp_path)
    assert said in str(error.value)


def test_a_parameter_without_a_name_is_refused_before_it_is_called() -> None:
    with pytest.raises(W2SError, match="loss: 'margin' stands before a '/' and has no name to callers"):
        asked(lambda margin, /, p: margin + p, ["margin", "p"], "loss")
