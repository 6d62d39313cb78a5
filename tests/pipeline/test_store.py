"""The store: whole or absent, verified, never half-written."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import own_name, readable, write_text
from w2s_pref.engine.identity import Identity, myself
from w2s_pref.engine.manifest import MANIFEST
from w2s_pref.engine.store import Store


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


def manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], object]:
    """A manifest changed by hand."""
    return lambda folder: (folder / MANIFEST).write_text(
        json.dumps(change(json.loads((folder / MANIFEST).read_text())))
    )


def link_out(folder: Path) -> None:
    outside = folder.parents[2] / "outside.txt"
    outside.write_text("hello")
    (folder / "data.txt").unlink()
    (folder / "data.txt").symlink_to(outside)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (lambda folder: (folder / "data.txt").write_text("hellO"), "did not match its hashes"),
    "missing": (lambda folder: (folder / "data.txt").unlink(), "lacks a file (data.txt)"),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "lacks a file (manifest.json)"),
    "torn": (lambda folder: (folder / MANIFEST).write_text("{"), "has no manifest that can be read (it is not JSON"),
    "deep": (lambda folder: (folder / MANIFEST).write_text("[" * 10**5), "it is nested more than 64 deep"),
    "list": (manifest(lambda said: []), "has a manifest without files, stamps and meta"),
    "number": (manifest(lambda said: 3), "has a manifest without files, stamps and meta"),
    "nulls": (manifest(dict.fromkeys), "has a manifest without files, stamps and meta"),
    "twice": (
        lambda folder: (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:-1] + ', "files": {}}'),
        "the key 'files' stands twice in one object",
    ),
    "another's": (
        manifest(lambda said: said | {"key": "l"}),
        "is by its manifest 'model' 'l', which belongs elsewhere",
    ),
    "of no file": (manifest(lambda said: said | {"files": {}}), "has a manifest that names no file"),
    "climbs": (manifest(lambda said: said | {"files": {"../x": "0"}}), "a file that it cannot hold: '../x'"),
    "lies": (manifest(lambda said: said | {"meta": {"rows": 9}}), "a manifest that did not match its hash"),
    "seal renamed": (
        manifest(lambda said: {"" if name == "hash" else name: value for name, value in said.items()}),
        "a manifest that did not match its hash",
    ),
    "leads out": (link_out, "holds a link that leads out of the store (data.txt)"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_corrupted_artifacts_are_set_aside(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path = tmp_path / "store"
    folder = put(Store(tmp_path))
    change, words = DAMAGE[damage]
    change(folder)
    store = Store(tmp_path)
    assert store.get("model", "k") is None
    assert words in capsys.readouterr().out
    assert not folder.exists()
    assert len(list((tmp_path / "corrupted").iterdir())) == 1
    put(store)
    assert store.get("model", "k") is not None


def test_two_artifacts_that_changed_places_are_set_aside(tmp_path: Path) -> None:
    one, other = put(Store(tmp_path)), put(Store(tmp_path), "l", "other")
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    store = Store(tmp_path)
    assert store.meta("model", "k") is None
    assert store.get("model", "k") is None
    assert store.get("model", "l") is None


@pytest.mark.parametrize(
    ("stand", "words"),
    [
        (lambda place: place.write_text("x"), "is a file"),
        (lambda place: place.symlink_to("nowhere"), "is a link that leads nowhere"),
        (lambda place: place.symlink_to("/"), "is a link out of the store, to /"),
    ],
)
def test_what_stands_in_an_artifacts_place_is_named(tmp_path: Path, stand: Callable[[Path], None], words: str) -> None:
    store = Store(tmp_path)
    (tmp_path / "model").mkdir()
    stand(tmp_path / "model" / "k")
    for ask in (store.has, store.get, store.meta, store.stands):
        with pytest.raises(W2SError, match=words) as caught:
            ask("model", "k")
        assert f"remove it (rm {tmp_path}/model/k)" in str(caught.value)


@pytest.mark.parametrize("part", ["model", "tmp"])
def test_a_part_of_the_store_that_lies_elsewhere_is_refused_before_anything_is_built(tmp_path: Path, part: str) -> None:
    """Nothing can be renamed from one file system into another: that was seen when it had been trained."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / part).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(W2SError, match=f"{part} is a link out of the store, to .*elsewhere; a store moves as a whole"):
        Store(tmp_path / "store").has("model", "k")
    (tmp_path / "whole").symlink_to(tmp_path / "elsewhere")
    assert put(Store(tmp_path / "whole")).is_dir()


def test_a_stage_that_wrote_nothing_is_no_artifact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.writing("model", "k") as folder, pytest.raises(W2SError, match="wrote no file"):
        store.commit("model", "k", folder, {}, {})
    assert store.get("model", "k") is None


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_files_have_the_modes_of_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with Store(tmp_path).writing("model", "k") as temporary:
            (temporary / "deep").mkdir()
            for name in ("weights", "deep/weights"):
                (temporary / name).touch(0o600)
            folder = Store(tmp_path).commit("model", "k", temporary, {}, {}).folder
    finally:
        os.umask(before)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~umask}
    assert sorted(path.name for path in files) == [MANIFEST, "weights", "weights"]


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """This process as somebody who owns nothing here."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users may look into."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_second_user_reads_what_the_first_wrote(shared: Path) -> None:
    put(Store(shared))
    with another_user():
        found = Store(shared).get("model", "k")
        assert found is not None
        assert (found.folder / "data.txt").read_text() == "hello"


def test_of_what_is_closed_the_rights_are_said_whatever_a_library_makes_of_it(shared: Path) -> None:
    from safetensors import safe_open

    folder, file = shared / "a" / "b", shared / "a" / "b" / "x.safetensors"
    folder.mkdir(parents=True)
    file.write_text("")

    def said(path: Path, mode: int, asked: Path) -> str:
        was = path.stat().st_mode
        path.chmod(mode)
        with another_user(), pytest.raises(W2SError) as caught, readable(asked), safe_open(file, "numpy"):
            pass
        path.chmod(was)
        return str(caught.value)

    for path, mode in ((file, 0o600), (folder, 0o700), (folder.parent, 0o700)):
        asked = folder if path == file else file
        assert said(path, mode, asked).startswith(f"{path} may not be read by nobody (owner root, mode 0{mode:o})")
    file.chmod(0o644)
    with (
        another_user(),
        pytest.raises(Exception, match=r"(?i)header") as caught,
        readable(file),
        safe_open(file, "numpy"),
    ):
        pass
    assert not isinstance(caught.value, W2SError)


@pytest.mark.parametrize("closed", ["model/k/data.txt", "model/k/manifest.json", "model/k", "model"])
def test_what_may_not_be_read_is_a_sentence_and_no_damage(shared: Path, closed: str) -> None:
    folder = put(Store(shared))
    mode = (shared / closed).stat().st_mode
    (shared / closed).chmod(0o700 if (shared / closed).is_dir() else 0o600)
    with another_user(), pytest.raises(W2SError, match=r"may not be read by nobody.*nothing is wrong with it"):
        Store(shared).get("model", "k")
    (shared / closed).chmod(mode)
    assert not (shared / "corrupted").exists()
    assert Store(shared).get("model", "k") is not None
    assert folder.is_dir()


def test_no_two_writers_share_a_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.temporary("model-k") != store.temporary("model-k")
    assert Identity.of_name(store.temporary("model-k").name) == replace(myself(), host="")
    assert own_name("a.json") != own_name("a.json")
    assert len(own_name("ü" * 300).encode()) < 255


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


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    end = os.open(tmp_path / "pipe", os.O_RDWR)
    write_text(tmp_path / "pipe", "{}")
    assert os.read(end, 9) == b"{}"
    os.close(end)
    assert (tmp_path / "pipe").is_fifo()
