"""The store: whole or absent, verified, never half-written."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from w2s_pref.core.errors import W2SError, write_text
from w2s_pref.engine.identity import Identity, myself
from w2s_pref.engine.store import MANIFEST, Store


def put(store: Store, key: str = "k", text: str = "hello") -> Path:
    with store.writing("model", key) as folder:
        (folder / "data.txt").write_text(text)
        return store.commit("model", key, folder, {"seed": 1}, {"rows": 3}).folder


def test_commit_then_get(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = put(store)
    found = Store(tmp_path).get("model", "k")
    assert found is not None
    assert found.folder == folder
    assert found.meta == {"rows": 3}
    assert json.loads((folder / MANIFEST).read_text())["payload"] == {"seed": 1}
    assert not list((tmp_path / "tmp").iterdir())


def test_a_failing_build_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def half() -> None:
        with store.writing("model", "k") as folder:
            (folder / "half").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert store.get("model", "k") is None
    assert not list((tmp_path / "tmp").iterdir())
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("damage", ["changed", "missing", "manifest", "no manifest"])
def test_corrupted_artifacts_are_set_aside(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = put(Store(tmp_path))
    if damage == "changed":
        (folder / "data.txt").write_text("hellO")
    elif damage == "missing":
        (folder / "data.txt").unlink()
    elif damage == "manifest":
        (folder / MANIFEST).write_text("{")
    else:
        (folder / MANIFEST).unlink()
    store = Store(tmp_path)
    assert store.get("model", "k") is None
    assert "did not match its hashes" in capsys.readouterr().out
    assert not folder.exists()
    assert len(list((tmp_path / "corrupted").iterdir())) == 1
    put(store)
    assert store.get("model", "k") is not None


def test_the_first_of_two_writers_wins(tmp_path: Path) -> None:
    store, other = Store(tmp_path), Store(tmp_path)
    put(store, text="first")
    assert (put(other, text="second") / "data.txt").read_text() == "first"


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "no space left"), (errno.EROFS, "cannot be written")])
def test_system_errors_are_sentences(tmp_path: Path, number: int, words: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(W2SError, match=words), store.writing("model", "k"):
        raise OSError(number, os.strerror(number))
    assert store.get("model", "k") is None


def test_a_store_below_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises((W2SError, NotADirectoryError)):
        put(Store(tmp_path / "file" / "store"))


def test_sweep_removes_what_dead_processes_left(tmp_path: Path) -> None:
    me = myself()
    folders = {
        "gone": replace(me, pid=4194304),
        "another that has my number": replace(me, start="1"),
        "mine": me,
        "another machine's": Identity("other", "0" * 12, 4194304, "1"),
    }
    for name, process in folders.items():
        (tmp_path / "tmp" / f"model-{name}-{process.tag}").mkdir(parents=True)
    lease = tmp_path / "tmp" / f"lease0-{folders['gone'].tag}"
    lease.write_text("half a lease")
    Store(tmp_path).sweep()
    left = {path.name.split("-")[1] for path in (tmp_path / "tmp").iterdir()}
    assert left == {"mine", "another machine's"}


def test_write_text_is_whole_or_absent(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "{}")
    assert (tmp_path / "a.json").read_text() == "{}"
    with pytest.raises(W2SError, match="cannot be written"):
        write_text(tmp_path / "nowhere" / "a.json", "{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json"]
