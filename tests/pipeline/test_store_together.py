"""Two runs on one store that find the same damage: what one has built again, the other serves and leaves in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from w2s_pref.engine import store as engine
from w2s_pref.engine.manifest import Damaged
from w2s_pref.engine.store import Store


def put(store: Store) -> Path:
    with store.writing("model", "k") as folder:
        (folder / "data.txt").write_text("hello")
        return store.commit("model", "k", folder, {}, {})


def test_what_another_run_built_again_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(Store(tmp_path))
    (tmp_path / "model" / "k" / "data.txt").write_text("hellO")
    verified, other, slow = engine.verified, Store(tmp_path), []

    def overtaken(*words: Any) -> dict[str, Any]:
        """Until this run knows of the damage, the other one has set it aside and built again."""
        try:
            return verified(*words)
        except Damaged:
            if not slow:
                slow.append(1)
                assert other.get("model", "k") is None
                put(other)
            raise

    monkeypatch.setattr(engine, "verified", overtaken)
    found = Store(tmp_path).get("model", "k")
    assert found is not None
    assert (tmp_path / "model" / "k" / "data.txt").read_text() == "hello"
    assert len(list((tmp_path / "corrupted").iterdir())) == 1


def test_what_another_run_has_set_aside_is_missing_and_not_moved_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(Store(tmp_path))
    verified = engine.verified

    def gone(folder: Path, *words: Any) -> dict[str, Any]:
        folder.rename(tmp_path / "aside")
        return verified(folder, *words)

    monkeypatch.setattr(engine, "verified", gone)
    assert Store(tmp_path).get("model", "k") is None
    assert "moved to" not in capsys.readouterr().out
