"""Hashes of large files: computed once, and again as soon as anything about the file changed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from w2s_pref.core import hashes
from w2s_pref.core.errors import file_hash


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large and old, and a cache of its own."""
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hashes, "BYTES", 4)
    monkeypatch.setattr(hashes, "NEW", 0.0)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    return file


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_large_file_is_read_once(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hashes.remembered_hash(weights) == sha(b"weights")
    monkeypatch.setattr(hashes, "file_hash", lambda path: pytest.fail(f"{path} was read again"))
    assert hashes.remembered_hash(weights) == sha(b"weights")


def test_another_content_of_the_same_size_and_time_is_another_hash(weights: Path) -> None:
    hashes.remembered_hash(weights)
    times = weights.stat()
    time.sleep(0.02)  # a file system's clock ticks every few milliseconds, which ``NEW`` is for
    weights.write_bytes(b"WEIGHTS")
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # the inode's own time cannot be set
    assert hashes.remembered_hash(weights) == sha(b"WEIGHTS")
    time.sleep(0.02)
    other = weights.with_name("other")
    other.write_bytes(b"another")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(weights)
    assert hashes.remembered_hash(weights) == sha(b"another")


def test_a_new_or_a_small_file_is_read_every_time(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "NEW", 60.0)
    hashes.remembered_hash(weights)
    monkeypatch.setattr(hashes, "NEW", 0.0)
    monkeypatch.setattr(hashes, "BYTES", 100)
    hashes.remembered_hash(weights)
    assert not list(weights.parent.glob("cache/hashes/*"))


def test_a_cache_that_is_broken_or_closed_costs_time_only(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes.remembered_hash(weights)
    (note,) = weights.parent.glob("cache/hashes/*")
    note.write_text("f" * 63, encoding="ascii")
    assert hashes.remembered_hash(weights) == sha(b"weights") == note.read_text(encoding="ascii")
    closed = weights.with_name("closed")
    closed.touch()
    monkeypatch.setenv("W2S_CACHE", str(closed / "cache"))
    assert hashes.remembered_hash(weights) == sha(b"weights")


def test_a_name_is_a_hash_in_the_hubs_cache_alone(tmp_path: Path) -> None:
    """There the name is the content's hash. Elsewhere a folder of that name says nothing of what a file holds."""
    name = sha(b"as it was")
    for repository, known in (("models--a--b", True), ("data", False)):
        blob = tmp_path / repository / "blobs" / name
        blob.parent.mkdir(parents=True)
        blob.write_bytes(b"edited")
        if known:
            (tmp_path / repository / "snapshots").mkdir()
        assert file_hash(blob) == (name if known else sha(b"edited"))
    odd = tmp_path / "models--a--b" / "blobs" / ("x" * 64)
    odd.write_bytes(b"edited")
    assert file_hash(odd) == sha(b"edited")
