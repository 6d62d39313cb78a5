"""A store at a URL: caches share what one has built, nothing stands before its manifest, damage is never served."""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from lease_helpers import dead_here, elsewhere, put_lease

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.locks import Locks
from w2s_pref.engine.manifest import MANIFEST
from w2s_pref.engine.remote import LeaseObjects, Remote, RemoteStore, cache_folder, open_store
from w2s_pref.engine.store import Artifact, Store


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://{uuid.uuid4().hex}/shared" if request.param == "memory" else f"file://{tmp_path}/shared"


def cached(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteStore:
    """The store as a machine with that cache sees it."""
    monkeypatch.setenv("W2S_CACHE", str(cache))
    store = open_store(url)
    assert isinstance(store, RemoteStore)
    return store


def put(store: Store, key: str = "k", text: str = "hello") -> Artifact:
    with store.writing("model", key) as folder:
        (folder / "data.txt").write_text(text)
        (folder / "inner").mkdir()
        (folder / "inner" / "more.bin").write_bytes(bytes(range(256)))
        return store.commit("model", key, folder, {"seed": 1}, {"rows": 3})


def test_one_builds_another_reads(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = cached(url, tmp_path / "one", monkeypatch), cached(url, tmp_path / "other", monkeypatch)
    assert not other.has("model", "k")
    assert other.get("model", "k") is None
    built = put(one)
    assert other.has("model", "k")
    found = other.get("model", "k")
    assert found is not None
    assert found.folder.is_relative_to(tmp_path / "other")
    assert found.meta == built.meta == {"rows": 3}
    for name in ("data.txt", "inner/more.bin"):
        assert (found.folder / name).read_bytes() == (built.folder / name).read_bytes()
    assert not list((other.root / "tmp").iterdir())
    again = cached(url, tmp_path / "other", monkeypatch).get("model", "k")  # from the cache, verified again
    assert again is not None


def test_the_manifest_goes_up_last(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after every file, nothing stands; the next look at the cache carries up the rest."""
    store = cached(url, tmp_path / "one", monkeypatch)
    upload, names = Remote.upload, []

    def cut(self: Remote, source: Path, *parts: str) -> None:
        if parts[-1] == MANIFEST:
            raise W2SError("store: the line went dead")
        names.append(parts[2:])
        upload(self, source, *parts)

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "upload", cut)
        with pytest.raises(W2SError, match="went dead"):
            put(store)
    assert names == [("data.txt",), ("inner", "more.bin")]
    other = cached(url, tmp_path / "other", monkeypatch)
    assert other.get("model", "k") is None
    assert cached(url, tmp_path / "one", monkeypatch).get("model", "k") is not None
    assert other.get("model", "k") is not None


@pytest.mark.parametrize("damage", ["changed", "missing", "manifest"])
def test_damage_at_the_url_is_set_aside(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    put(cached(url, tmp_path / "one", monkeypatch))
    remote = Remote(url)
    if damage == "changed":
        remote.write(b"hellO", "model", "k", "data.txt")
    elif damage == "missing":
        remote.remove("model", "k", "data.txt")
    else:
        remote.write(b"{", "model", "k", MANIFEST)
    other = cached(url, tmp_path / "other", monkeypatch)
    assert other.get("model", "k") is None
    assert "; moved to" in capsys.readouterr().out
    assert not other.has("model", "k")
    assert len(remote.fs.ls(remote.path("corrupted"), detail=False)) == 1
    put(other)
    third = cached(url, tmp_path / "third", monkeypatch).get("model", "k")
    assert third is not None
    assert (third.folder / "data.txt").read_text() == "hello"


def test_damage_in_the_cache_is_fetched_again(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = put(cached(url, tmp_path / "one", monkeypatch))
    (built.folder / "data.txt").write_text("hellO")
    found = cached(url, tmp_path / "one", monkeypatch).get("model", "k")
    assert found is not None
    assert (found.folder / "data.txt").read_text() == "hello"


def test_a_manifest_cannot_write_outside(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cached(url, tmp_path / "one", monkeypatch))
    remote = Remote(url)
    manifest = json.loads(remote.read("model", "k", MANIFEST) or b"")
    manifest["files"] = {"../../../../outside": "0" * 64}
    remote.write(json.dumps(manifest).encode(), "model", "k", MANIFEST)
    assert cached(url, tmp_path / "other", monkeypatch).get("model", "k") is None
    assert not list(tmp_path.rglob("outside"))


def test_the_first_of_two_uploads_stays(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = cached(url, tmp_path / "one", monkeypatch), cached(url, tmp_path / "other", monkeypatch)
    put(one, text="first")
    put(other, text="second")
    third = cached(url, tmp_path / "third", monkeypatch).get("model", "k")
    assert third is not None
    assert (third.folder / "data.txt").read_text() == "first"


def test_leases_at_a_url(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = cached(url, tmp_path / "one", monkeypatch), cached(url, tmp_path / "other", monkeypatch)
    held = one.take("model", "k")
    assert held is not None
    assert other.take("model", "k") is None
    assert other.holder("model", "k") == held.lease
    held.confirm()
    held.release()
    assert other.holder("model", "k") is None
    put_lease(LeaseObjects(Remote(url)), "model-k", dead_here())
    taken = other.take("model", "k")
    assert taken is not None
    assert taken.taken_over
    taken.release()


def test_a_silent_lease_at_a_url_is_taken_over_and_its_holder_notices(url: str) -> None:
    shelf = LeaseObjects(Remote(url))
    lost = put_lease(shelf, "model-k", elsewhere())
    locks = Locks(shelf, lease=0.0)
    assert locks.take("model-k") is None  # the first look
    held = locks.take("model-k")
    assert held is not None
    assert not shelf.beat("model-k", lost.token, lost.encode())
    held.confirm()
    held.release()


def test_where_nothing_can_be_created_exclusively(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that refuses mode xb: written, then read back."""
    shelf = LeaseObjects(Remote(url))
    opened = type(shelf.remote.fs).open

    def plain(self: Any, path: str, mode: str = "rb", **more: Any) -> Any:
        if mode == "xb":
            raise ValueError("unsupported file mode")
        return opened(self, path, mode, **more)

    monkeypatch.setattr(type(shelf.remote.fs), "open", plain)
    locks = Locks(shelf)
    held = locks.take("model-k")
    assert held is not None
    assert locks.take("model-k") is None
    held.release()


@pytest.mark.parametrize(("url", "extra", "package"), [("s3://b/x", "s3", "s3fs"), ("gs://b/x", "gcs", "gcsfs")])
def test_a_missing_extra_names_the_command(
    url: str, extra: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("W2S_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(W2SError, match=rf"needs a package that is not here .*pip install 'w2s-pref\[{extra}\]'"):
        open_store(url)


def test_an_unknown_protocol_is_a_sentence() -> None:
    with pytest.raises(W2SError, match="store: wat://b/x: Protocol not known: wat; give a folder, or a URL such as s3"):
        open_store("wat://b/x")


def test_what_a_file_system_raises_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = cached(f"memory://{uuid.uuid4().hex}", tmp_path, monkeypatch)

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("the credentials have expired\nmore")

    monkeypatch.setattr(type(store.remote.fs), "cat_file", refuse)
    with pytest.raises(W2SError, match=r"store: reading from memory://.* failed \(RuntimeError: the credentials"):
        store.get("model", "k")


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("W2S_CACHE", str(tmp_path))
    assert cache_folder("s3://b/x/") == cache_folder("s3://b/x") != cache_folder("s3://b/y")
    assert cache_folder("s3://b/x").parent == tmp_path / "stores"
    monkeypatch.delenv("W2S_CACHE")
    assert cache_folder("s3://b/x").is_relative_to(Path(os.path.expanduser("~/.cache/w2s_pref")))
    assert type(open_store(str(tmp_path))) is Store
    assert str(open_store("memory://x/y/")) == "memory://x/y"


def test_a_manifest_cut_off_at_the_url_goes_up_again_from_the_cache(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the manifest went up: whoever built it has it all, and nobody computes it again."""
    one = cached(url, tmp_path / "one", monkeypatch)
    put(one)
    whole = one.remote.read("model", "k", MANIFEST)
    assert whole is not None
    one.remote.write(whole[:40], "model", "k", MANIFEST)
    assert cached(url, tmp_path / "one", monkeypatch).get("model", "k") is not None
    assert one.remote.read("model", "k", MANIFEST) == whole
    assert cached(url, tmp_path / "other", monkeypatch).get("model", "k") is not None
