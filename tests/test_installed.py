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


def w2s(installed: Path, folder: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}
    line = [sys.executable, "-m", "w2s_pref", *words]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_what_a_user_needs(installed: Path, tmp_path: Path) -> None:
    recipes = {path.relative_to(ROOT / "recipes").as_posix() for path in (ROOT / "recipes").rglob("*.yaml")}
    held = installed / "w2s_pref" / "recipes"
    assert {path.relative_to(held).as_posix() for path in held.rglob("*.yaml")} == recipes
    assert not (installed / "tests").exists()
    assert w2s(installed, tmp_path, "--version").split() == ["w2s-pref", __version__]
    assert "deception/ladder" in w2s(installed, tmp_path, "recipes")
    assert "103 miss" in w2s(installed, tmp_path, "plan", "quickstart")
    assert "next: w2s plan mine/recipe.yaml" in w2s(installed, tmp_path, "init", "mine")
    assert "miss" in w2s(installed, tmp_path, "plan", "mine/recipe.yaml")
    assert "wrote theirs/ethics_pairs.py" in w2s(installed, tmp_path, "init", "--from", "real/ethics_reward", "theirs")
