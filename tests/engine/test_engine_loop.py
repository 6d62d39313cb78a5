"""The loop over stages that know no model: what is fetched, what is checked, what is built again."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from silent import Silent

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.loop import Loop
from w2s_pref.engine.manifest import MANIFEST
from w2s_pref.engine.remote import Remote, RemoteStore, open_store
from w2s_pref.engine.stage import Builder, Stage, ordered
from w2s_pref.engine.store import Store
from w2s_pref.parallel.world import World


@dataclass(frozen=True, eq=False)
class Words(Stage):
    """A text file: the words of its inputs, and its own name."""

    kind: ClassVar[str] = "words"
    reads: tuple[Words, ...] = ()

    @property
    def inputs(self) -> dict[str, Stage]:
        return {stage.name: stage for stage in self.reads}

    @property
    def payload(self) -> dict[str, Any]:
        return {"name": self.name}

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        if self.name == "bad":
            raise W2SError("there is no such word")
        read = [(builder.artifact(stage).folder / "words.txt").read_text() for stage in self.reads]
        (folder / "words.txt").write_text(" ".join([*read, self.name]))
        return {"words": len(self.reads) + 1}


def chain() -> dict[str, Words]:
    """a → b → c → d."""
    found: dict[str, Words] = {}
    for name in "abcd":
        found[name] = Words(name, tuple(found.values())[-1:])
    return found


def built(store: Store, target: Stage) -> tuple[Builder, dict[str, str]]:
    builder, display = Builder(store, World(), Path()), Silent()
    Loop(ordered([target]), builder, display).run()
    return builder, display.events


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}/shared"


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the artifacts whose files came down."""
    seen: list[str] = []
    download = Remote.download

    def counted(self: Remote, target: Path, *parts: str) -> None:
        seen.append(parts[1])
        download(self, target, *parts)

    monkeypatch.setattr(Remote, "download", counted)
    return seen


def elsewhere(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store of a URL as a machine with an empty cache sees it."""
    monkeypatch.setenv("W2S_CACHE", str(cache))
    return open_store(url)


def test_only_what_is_read_comes_down(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, downloads: list[str]
) -> None:
    stages = chain()
    _, events = built(elsewhere(url, tmp_path / "one", monkeypatch), stages["d"])
    assert events == dict.fromkeys("abcd", "done")
    assert not downloads
    builder, events = built(elsewhere(url, tmp_path / "two", monkeypatch), stages["d"])
    assert events == dict.fromkeys("abcd", "hit")
    assert downloads == [stages["d"].key]  # what no stage reads is what the run folder is made of
    assert [builder.meta(stages[name])["words"] for name in "abcd"] == [1, 2, 2, 2]
    assert {"name", "seconds"} <= builder.meta(stages["a"]).keys()
    assert downloads == [stages["d"].key]
    assert (builder.artifact(stages["b"]).folder / "words.txt").read_text() == "a b"
    assert downloads == [stages["d"].key, stages["b"].key]


def test_inputs_of_what_is_missing_come_down(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, downloads: list[str]
) -> None:
    stages = chain()
    built(elsewhere(url, tmp_path / "one", monkeypatch), stages["d"])
    Remote(url).remove("words", stages["c"].key, MANIFEST)
    _, events = built(elsewhere(url, tmp_path / "two", monkeypatch), stages["d"])
    assert events == {"a": "hit", "b": "hit", "c": "done", "d": "hit"}
    assert downloads == [stages["b"].key, stages["d"].key]


@pytest.mark.parametrize("name", ["b", "d"])
def test_damage_in_what_is_read_is_built_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, downloads: list[str], name: str
) -> None:
    stages = chain()
    built(elsewhere(url, tmp_path / "one", monkeypatch), stages["d"])
    Remote(url).remove("words", stages["c"].key, MANIFEST)
    Remote(url).write(b"other", "words", stages[name].key, "words.txt")
    builder, events = built(elsewhere(url, tmp_path / "two", monkeypatch), stages["d"])
    assert events == {"a": "hit", "b": "hit", "c": "done", "d": "hit"} | {name: "done"}
    assert (builder.artifact(stages["d"]).folder / "words.txt").read_text() == "a b c d"


def test_a_manifest_that_cannot_be_read_is_no_hit(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = chain()
    built(elsewhere(url, tmp_path / "one", monkeypatch), stages["d"])
    Remote(url).write(b"{", "words", stages["a"].key, MANIFEST)
    builder, events = built(elsewhere(url, tmp_path / "two", monkeypatch), stages["d"])
    assert events == {"a": "done", "b": "hit", "c": "hit", "d": "hit"}
    assert builder.meta(stages["a"])["words"] == 1


def test_what_only_the_cache_has_goes_up(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = chain()
    built(elsewhere(url, tmp_path / "one", monkeypatch), stages["d"])
    for name in "ad":
        Remote(url).remove("words", stages[name].key, MANIFEST)
    store = elsewhere(url, tmp_path / "one", monkeypatch)
    assert isinstance(store, RemoteStore)
    _, events = built(store, stages["d"])
    assert events == dict.fromkeys("abcd", "hit")
    assert all(elsewhere(url, tmp_path / "two", monkeypatch).has("words", stages[name].key) for name in "abcd")


@pytest.mark.parametrize("name", ["a", "d"])
def test_in_a_local_store_every_hit_is_checked(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    stages = chain()
    builder, _ = built(Store(tmp_path), stages["d"])
    (builder.artifact(stages[name]).folder / "words.txt").write_text("other")
    builder, events = built(Store(tmp_path), stages["d"])
    assert events == {**dict.fromkeys("abcd", "hit"), name: "done"}
    assert "did not match its hashes" in capsys.readouterr().out
    assert (builder.artifact(stages["d"]).folder / "words.txt").read_text() == "a b c d"


def test_metadata_of_a_local_store_is_read_from_the_manifest_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = chain()
    built(Store(tmp_path), stages["d"])
    monkeypatch.setattr("w2s_pref.engine.store.file_hash", lambda path: pytest.fail(f"{path} was read"))
    store = Store(tmp_path)
    assert (store.meta("words", stages["b"].key) or {})["words"] == 2
    assert store.meta("words", "nothing") is None
    with pytest.raises(W2SError, match="stage 'other' is not in the store"):
        Builder(store, World(), Path()).meta(Words("other"))


def test_a_sentence_names_its_stage(tmp_path: Path) -> None:
    with pytest.raises(W2SError, match=r"^bad: there is no such word$"):
        built(Store(tmp_path), Words("bad"))


def test_one_key_is_in_memory(tmp_path: Path) -> None:
    builder = Builder(Store(tmp_path), World(), Path())
    loads: list[str] = []

    def load(name: str) -> str:
        assert name == "x" or builder._models is None  # what was there is gone before the next is loaded
        loads.append(name)
        return name

    for name in ("x", "x", "y", "x"):
        if name == "x" and loads == ["x", "y"]:
            builder.forget_models()
        assert builder.recall(name, lambda name=name: load(name)) == name  # type: ignore[misc]
    assert loads == ["x", "y", "x"]
    builder.remember("z", "what was trained")
    assert builder.recall("z", lambda: pytest.fail("it was remembered")) == "what was trained"
