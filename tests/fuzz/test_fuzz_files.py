"""Mutants of what runs wrote: manifests of the store, and results of every kind of study that are shown again."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzz_helpers import counted, fuzzed, judged, raw, summary, texts, trees, w2s, watched
from hypothesis import given
from hypothesis import strategies as st

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.manifest import MANIFEST
from w2s_pref.engine.store import Store

__all__ = ["summary"]

HERE = Path(__file__).parent.parent
PROVENANCE = {"command": "w2s run", "created": "2026-01-01", "seconds": 1.0, "world_size": 1}
ABOUT = {
    "name": "fuzz", "seeds": [0, 1], "models": {}, "verdict": {"headline": "none"}, "recipe": {"name": "fuzz"},
    "provenance": {**PROVENANCE, "versions": {}, "machine": {}, "stages": {}},
}  # fmt: skip


def packed(name: str) -> Any:
    """A JSON file beside other tests."""
    return json.loads(gzip.decompress((HERE / name).read_bytes()))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, with a store and a run of every kind."""
    folder = tmp_path_factory.mktemp("fuzz")
    store = Store(folder / "store")
    with store.writing("model", "k") as temporary:
        (temporary / "weights").write_text("1 2 3")
        store.commit("model", "k", temporary, {"seed": 1}, {"rows": 3, "seconds": 0.5, "counts": {"pairs": 7}})
    runs = {
        "preferences": {"results": packed("report/schema-1.json.gz")},
        "generalization": {
            "results": {**ABOUT, "kind": "generalization", "schema_version": 2, "tasks": {}},
            "generalization": packed("golden/results/generalization.json.gz"),
        },
        "chess": {"results": {**packed("golden/results/chess.json.gz"), **ABOUT, "schema_version": 2, "splits": {}}},
    }
    for kind, files in runs.items():
        (folder / kind).mkdir()
        for name, value in files.items():
            (folder / kind / f"{name}.json").write_text(json.dumps(value))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def changed(file: Path) -> st.SearchStrategy[str]:
    """The file with something changed in its text or in its values."""
    text = file.read_text()
    return texts(text) | trees(json.loads(text)).map(json.dumps)


@fuzzed(60)
@given(draw=st.data())
def test_manifests(place: Path, draw: st.DataObject) -> None:
    """What is served is what was written, whatever its manifest says by now."""
    good = place / "store" / "model" / "k" / MANIFEST
    mutant = draw.draw(changed(good))
    with judged("manifests", mutant):
        shutil.rmtree(place / "other", ignore_errors=True)
        shutil.copytree(place / "store", place / "other")
        (place / "other" / "model" / "k" / MANIFEST).write_bytes(raw(mutant))
        store = Store(place / "other")
        with watched():
            try:
                meta, found = store.meta("model", "k"), store.get("model", "k")
            except W2SError:
                meta, found = None, None
        if found is not None:
            before = json.loads(good.read_text())
            # An older manifest has no hash of itself.
            assert found.manifest in (before, {key: value for key, value in before.items() if key != "hash"})
            assert meta == found.meta
        counted("manifests", "refused" if found is None else "without effect")


@pytest.mark.parametrize("kind", ["preferences", "generalization", "chess"])
@fuzzed(6)
@given(draw=st.data())
def test_results(place: Path, kind: str, draw: st.DataObject) -> None:
    """A run that was edited is shown, as what it says now, or refused."""
    files = sorted((place / kind).glob("*.json"))
    file = draw.draw(st.sampled_from(files))
    mutant = draw.draw(changed(file))
    with judged(f"results ({kind})", mutant):
        if not (place / f"{kind}.shown").exists():
            (place / f"{kind}.shown").write_text(w2s("show", kind).out)
            assert w2s("show", kind).code == 0
        good = file.read_bytes()
        file.write_bytes(raw(mutant))
        try:
            done = w2s("show", kind)
            w2s("compare", kind, kind)
            w2s("status", "--output", ".")
        finally:
            file.write_bytes(good)
        same = done.out == (place / f"{kind}.shown").read_text()
        counted(f"results ({kind})", "refused" if done.code else "without effect" if same else "seen")
