"""Weights that nothing reads any more leave the store, and come back where something computes with them."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from silent import Silent

from w2s_pref import stages as stages_room
from w2s_pref import studies as studies_room
from w2s_pref.core.errors import W2SError
from w2s_pref.engine.loop import Loop
from w2s_pref.engine.manifest import MANIFEST
from w2s_pref.engine.missing import missing, unread
from w2s_pref.engine.remote import open_store
from w2s_pref.engine.stage import Builder, Stage, ordered
from w2s_pref.engine.store import Store
from w2s_pref.parallel.world import World
from w2s_pref.stages.model_stage import ModelStage


@dataclass(frozen=True, eq=False)
class Part(Stage):
    """Writes a line; it reads its inputs' files of the same name where it computes."""

    kind: ClassVar[str] = "table"
    reads: tuple[Part, ...] = ()
    noise: ClassVar[list[str]] = []

    @property
    def inputs(self) -> dict[str, Stage]:
        return {stage.name: stage for stage in self.reads}

    @property
    def payload(self) -> dict[str, Any]:
        return {"name": self.name}

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        for stage in self.reads:
            found = builder.artifact(stage).folder
            assert (found / "said.txt").is_file()
            if stage.weights and not self.on_main:
                assert (found / "deep" / "model.safetensors").is_file(), f"{self.name} cannot compute with {stage.name}"
        (folder / "said.txt").write_text(self.name)
        if self.weights:
            (folder / "deep").mkdir()
            (folder / "deep" / "model.safetensors").write_text(" ".join([self.name, *self.noise]))
        return {}


class Model(Part):
    kind: ClassVar[str] = "model"
    weights: ClassVar[bool] = True


class Table(Part):
    on_main: ClassVar[bool] = True


def study(*more: str) -> list[Stage]:
    """weak → its scores → student, from a start → scores → tables; ``more`` scores of the student, as added later."""
    weak = Model("weak")
    labels = Table("labels", (Part("weak scores", (weak,)),))
    student = Model("student", (Model("start"), labels))
    scores = tuple(Part(name, (student,)) for name in ("scores", *more))
    return ordered([Table("analysis", (*scores, weak))])


def run(store: Store, stages: list[Stage]) -> dict[str, str]:
    display = Silent()
    Loop(stages, Builder(store, World(), Path()), display).run()
    return display.events


def names(stages: list[Stage]) -> list[str]:
    return [stage.name for stage in stages]


def free(store: Store, stages: list[Stage], *which: str) -> None:
    for stage in stages:
        if stage.name in which:
            assert store.free(stage.kind, stage.key)


def test_what_computes_with_a_model_is_never_built_by_the_main_process_alone() -> None:
    """Who reads weights is decided by ``on_main``: a stage that runs a model and says otherwise would find none."""
    for room in (stages_room, studies_room):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            importlib.import_module(module.name)
    known = set(below(Stage))
    assert {"TrainStage", "PairPolicyStage", "OnlinePolicyStage", "FinetuneStage", "MoveModelStage"} <= {
        kind.__name__ for kind in known if kind.weights
    }
    assert not [kind.__name__ for kind in known if kind.on_main and (kind.weights or issubclass(kind, ModelStage))]


def below(kind: type[Stage]) -> Iterator[type[Stage]]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("w2s_pref."):
            yield each
        yield from below(each)


ALL = ("weak", "student", "start")


def test_what_nothing_reads_any_more(tmp_path: Path) -> None:
    store, stages = Store(tmp_path), study()
    assert unread(stages, store) == []
    run(store, stages)
    assert sorted(names(unread(stages, store))) == sorted(ALL)
    later = study("scores of more pairs")
    assert names(unread(later, store)) == ["weak"]  # the start stays with the student
    assert names(unread(ordered([Model("alone")]), store)) == []


def test_a_model_without_readers_is_what_the_study_is_for(tmp_path: Path) -> None:
    store, stages = Store(tmp_path), ordered([Model("end", (Table("labels", (Part("s", (Model("weak"),)),)),))])
    run(store, stages)
    assert names(unread(stages, store)) == ["weak"]


def test_freed_stages_stand_and_nothing_is_built_again(tmp_path: Path) -> None:
    store, stages = Store(tmp_path), study()
    run(store, stages)
    free(store, stages, *ALL)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list((tmp_path / "tmp").iterdir())
    assert missing(stages, Store(tmp_path)) == []
    assert set(run(Store(tmp_path), stages).values()) == {"hit"}


def test_tables_built_anew_need_no_weights(tmp_path: Path) -> None:
    store, stages = Store(tmp_path), study()
    run(store, stages)
    free(store, stages, *ALL)
    again = [*stages[:-1], Table("other analysis", stages[-1].reads)]  # type: ignore[attr-defined]
    events = run(Store(tmp_path), again)
    assert events.pop("other analysis") == "done"
    assert set(events.values()) == {"hit"}


def test_what_computes_later_builds_the_model_again_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, stages = Store(tmp_path), study()
    run(store, stages)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != MANIFEST}
    free(store, stages, *ALL)
    later = study("scores of more pairs")
    missing_then = missing(later, store)
    assert names(missing_then) == ["start", "student", "scores of more pairs", "analysis"]
    events = run(Store(tmp_path), later)
    assert [name for name, event in events.items() if event == "done"] == names(missing_then)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != MANIFEST}
    assert [before[path] for path in before.keys() - after.keys()] == [b"weak"]  # which nothing computes with
    assert all(after[path] == data for path, data in before.items() if path in after)
    assert "not as they were" not in capsys.readouterr().out
    assert set(run(Store(tmp_path), later).values()) == {"hit"}


def test_other_weights_than_those_that_were_freed_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, stages = Store(tmp_path), study()
    run(store, stages)
    free(store, stages, "student")
    monkeypatch.setattr(Part, "noise", ["rounded otherwise"])
    run(Store(tmp_path), study("scores of more pairs"))
    said = capsys.readouterr().out
    assert said.count("they are not as they were") == 1
    assert "stays as it is" in said


def change(what: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """A manifest changed by hand."""

    def write(folder: Path) -> None:
        said = json.loads((folder / MANIFEST).read_text())
        what(said)
        (folder / MANIFEST).write_text(json.dumps(said))

    return write


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "said.txt").write_text("other"),
        change(lambda said: said["freed"].append("said.txt")),
        change(lambda said: said.update(freed="all")),
    ],
)
def test_damage_of_what_is_left_is_seen(
    tmp_path: Path, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    store, stages = Store(tmp_path), study()
    run(store, stages)
    free(store, stages, *ALL)
    student = next(stage for stage in stages if stage.name == "student")
    damage(store.place(student.kind, student.key))
    events = run(Store(tmp_path), stages)
    assert {name for name, event in events.items() if event == "done"} == {"start", "student"}
    assert "moved to" in capsys.readouterr().out
    assert set(run(Store(tmp_path), stages).values()) == {"hit"}


def test_killed_between_the_note_and_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, stages = Store(tmp_path), study()
    run(store, stages)

    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".safetensors":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            free(store, stages, "student")
    assert set(run(Store(tmp_path), stages).values()) == {"hit"}
    free(Store(tmp_path), stages, "student")
    assert not [path for path in tmp_path.rglob("*.safetensors") if path.read_text() == "student"]


def test_nothing_is_freed_at_a_url_or_while_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, stages = Store(tmp_path / "here"), study()
    run(store, stages)
    student = next(stage for stage in stages if stage.name == "student")
    held = Store(tmp_path / "here").take(student.kind, student.key)
    assert held is not None
    assert not store.free(student.kind, student.key)
    held.release()
    assert store.free(student.kind, student.key)
    assert not store.free(student.kind, student.key)
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    with pytest.raises(W2SError, match="everybody's"):
        open_store("memory://freed/shared").free(student.kind, student.key)
