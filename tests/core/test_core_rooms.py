"""The rooms: import contracts hold, a forbidden import breaks one, and what is written about them is their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

#: File, an import that no contract allows, and the words of the complaint about it. Lazy and type-only ones count.
FORBIDDEN = [
    (
        "core/errors.py",
        "import w2s_pref.results",
        "w2s_pref.core is not allowed to import w2s_pref.results",
    ),
    (
        "analysis/stats/bootstrap.py",
        "def late() -> None:\n    import w2s_pref.models.load",
        "w2s_pref.analysis.stats.bootstrap -> w2s_pref.models.load",
    ),
    (
        "report/__init__.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import w2s_pref.analysis.scores.table",
        "w2s_pref.report -> w2s_pref.analysis.scores.table",
    ),
    ("core/errors.py", "import w2s_pref.core.registry", "No cycles are allowed in w2s_pref.core."),
]


def lint(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path in (ROOT / "w2s_pref").rglob("*.py"):
        place = tmp_path / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    return tmp_path


def test_the_contracts_hold() -> None:
    status, said = lint(ROOT)
    assert status == 0, said


@pytest.mark.parametrize(("file", "statement", "complaint"), FORBIDDEN)
def test_a_forbidden_import_breaks_a_contract(copy: Path, file: str, statement: str, complaint: str) -> None:
    with (copy / "w2s_pref" / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{statement}\n")
    status, said = lint(copy)
    assert status == 1
    assert complaint in said


def test_every_room_has_a_contract_and_no_module_is_loose() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import rooms
    finally:
        sys.path.pop(0)
    may = rooms.arrows()
    protected = {other for others in may.values() for other in others}
    outermost = {"cli", "metrics"}  # nobody imports these, so nothing protects them
    assert set(may) - protected <= outermost
    assert {path.name for path in (ROOT / "w2s_pref").glob("*.py")} == {"__init__.py", "__main__.py"}


def test_the_table_and_the_picture_are_those_of_the_contracts() -> None:
    done = subprocess.run([sys.executable, "scripts/rooms.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
