"""What workers import and what they say: the same modules as who started them, and no message lost among prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from processes import ENVIRONMENT
from rich.console import Console

from w2s_pref.core.errors import W2SError
from w2s_pref.launch import workers
from w2s_pref.launch.display import StageDisplay


def told_by(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build with one worker that runs this code in the place of its own."""
    monkeypatch.setattr(workers, "command", lambda recipe, overrides: [sys.executable, "-c", code])
    workers.build_together(Path("recipe.yaml"), [], 1, StageDisplay(Console(quiet=True)))


def test_files_of_the_working_folder_hide_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``w2s`` looks for modules elsewhere, so its workers do, too."""
    (tmp_path / "queue.py").write_text("raise RuntimeError('the file of the working folder')")
    monkeypatch.chdir(tmp_path)
    line = workers.command(Path("missing.yaml"), [])
    place = ENVIRONMENT | workers.environments(1)[0]
    into, out = subprocess.PIPE, subprocess.PIPE  # a worker ends when its standard input does
    with subprocess.Popen(line, env=place, stdin=into, stdout=out, stderr=subprocess.STDOUT, text=True) as worker:
        assert worker.stdout is not None
        said = worker.stdout.read()
    assert "the file of the working folder" not in said
    assert "recipe missing.yaml: cannot be read" in said


def test_who_imports_from_the_working_folder_has_workers_that_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])  # a notebook, or python -c
    assert workers.environments(1)[0]["PYTHONPATH"].startswith(f"{tmp_path}:")


def test_a_message_behind_half_a_line_is_heard(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A library's bar ends in no new line."""
    code = "print('50 %', end=''); from w2s_pref.launch.workers import say; say(event='error', problems=['it broke'])"
    with pytest.raises(W2SError, match=r"^it broke$"):
        told_by(code, monkeypatch)
    assert capsys.readouterr().err == "50 %\n"
