"""What `pip install` puts on a machine starts in an empty folder: recipes, starter, commands."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

from w2s_pref.core.version import __version__


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the built wheel's files and nothing else, as site-packages would."""
    place = tmp_path_factory.mktemp("wheel")
    words = ["wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(place), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    (wheel,) = place.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(place / "site")
    return place / "site"


#: ``python -m w2s_pref`` with each command, what it prints below a line of its own: one interpreter imports for all.
SCRIPT = """
import runpy, sys
for line in sys.argv[1:]:
    print(f"$ w2s {line}", flush=True)
    sys.argv = ["w2s", *line.split()]
    try:
        runpy.run_module("w2s_pref", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code, (line, end.code)
"""


def w2s(installed: Path, folder: Path, *lines: str) -> list[str]:
    """What each command printed."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *lines], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [part.partition("\n")[2] for part in done.stdout.split("$ w2s ")[1:]]


def test_the_wheel_has_what_a_user_needs(installed: Path, tmp_path: Path) -> None:
    recipes = {path.relative_to(ROOT / "recipes").as_posix() for path in (ROOT / "recipes").rglob("*.yaml")}
    held = installed / "w2s_pref" / "recipes"
    assert {path.relative_to(held).as_posix() for path in held.rglob("*.yaml")} == recipes
    assert not (installed / "tests").exists()
    wanted = {
        "--version": f"w2s-pref {__version__}\n",
        "recipes": "deception/ladder",
        "plan quickstart": "103 miss",
        "init mine": "next: w2s plan mine/recipe.yaml",
        "plan mine/recipe.yaml": "miss",
        "init --from real/ethics_reward theirs": "wrote theirs/ethics_pairs.py",
    }
    said = w2s(installed, tmp_path, *wanted)
    assert len(said) == len(wanted)
    for line, text in zip(wanted, said, strict=True):
        assert wanted[line] in text, (line, text)
