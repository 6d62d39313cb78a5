"""The real command line, in this process: what it printed, how it ended, what it left on the disk."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from w2s_pref.cli import main as cli


@dataclass
class Done:
    """Exit status and both streams of one command."""

    code: int
    out: str
    err: str


def w2s(*words: object) -> Done:
    """Run ``w2s WORDS``. An exception that is not the command's own exit is a traceback for the user: it fails."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["w2s", *map(str, words)])
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
    return Done(code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue())


def succeeded(*words: object) -> Done:
    """Run a command that must end well."""
    done = w2s(*words)
    assert done.code == 0, done.err
    return done


def files(folder: Path) -> dict[str, bytes]:
    """Every file under a folder but Python's own cache, and what is in it; folders end in a slash."""
    return {
        str(path.relative_to(folder)) + "/" * path.is_dir(): b"" if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def refused(folder: Path, *words: object, said: str | tuple[str, ...]) -> str:
    """Run a command that must fail with a sentence and leave everything under ``folder`` as it was."""
    before = files(folder)
    done = w2s(*words)
    assert done.code not in {0, None}
    assert "Traceback" not in done.err + done.out
    flat = " ".join(done.err.replace("│", " ").split())
    for part in (said,) if isinstance(said, str) else said:
        assert part in flat, done.err
    assert files(folder).keys() == before.keys()
    assert files(folder) == before
    return done.err


def half_written(store: Path) -> list[str]:
    """Artifacts without a manifest and temporary folders: there must be none."""
    kinds = ("model", "scores", "labels", "analysis")
    bare = [str(path) for kind in kinds for path in store.glob(f"{kind}/*") if not (path / "manifest.json").is_file()]
    return bare + [str(path) for path in store.glob("tmp/*")]


Change = Callable[[Path], object]
