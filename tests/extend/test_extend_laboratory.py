"""The laboratory takes a user's loss, labeler, filter and section, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from extend_helpers import w2s, write

CODE = """
def near(p): return abs(p - 0.5) < 0.4
def shrunk(p): return 0.5 + 0.8 * (p - 0.5)
def square(margin, p): return (margin.sigmoid() - p) ** 2
def told(results):
    "How many cells"
    return f"There are {len(results.cells)} cells."
"""


def test_a_probe_with_everything_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    method = {"training": {"epochs": 2}, "loss": {"name": "mine.py:square"}, "labels": "mine.py:shrunk"}
    plain = {"algorithm": "probe", "training": {"epochs": 2}}
    keys = {
        "tasks": {"safe": {"task": "w2s_pref.studies.generalization.world:harmless", "arguments": {"rows": 300}}},
        "methods": {"probe": plain, "own": {**plain, **method, "filter": "mine.py:near"}},
        "report": {"sections": ["mine.py:told"]},
    }
    w2s(monkeypatch, "run", write(tmp_path, CODE, keys, tmp_path / "store"))
    page = (tmp_path / "runs" / "own" / "report.html").read_text(encoding="utf-8")
    for place in (page, capsys.readouterr().out):
        assert "How many cells" in place
        assert "There are 2 cells." in place
