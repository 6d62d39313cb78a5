"""The README's commands run as written, in a clean folder, and the report is what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from processes import ENVIRONMENT, run

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Lines of the README's bash blocks, comments cut, `w2s` ones only."""
    blocks = re.findall(r"```bash\n(.*?)```", TEXT, flags=re.S)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("w2s ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean folder with the recipes in it, where the quickstart has run in an interpreter of its own."""
    clean = tmp_path_factory.mktemp("clean")
    (clean / "recipes").symlink_to(ROOT / "recipes")
    line = [sys.executable, "-m", "w2s_pref", "run", "recipes/quickstart.yaml"]
    done = subprocess.run(line, cwd=clean, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "stages: 0 from the store" in done.stdout
    return clean


def shell(line: str, where: Path) -> subprocess.CompletedProcess[str]:
    name, *words = line.split()
    assert name == "w2s"
    return run("-m", "w2s_pref", *words, folder=where, environment={**ENVIRONMENT, "COLUMNS": "160"})


def test_quickstart_end_to_end(folder: Path) -> None:
    place = folder / "runs" / "quickstart"
    assert {"results.json", "report.html", "scores.parquet", "recipe.yaml", "environment.json"} <= {
        path.name for path in place.iterdir()
    }
    results = json.loads((place / "results.json").read_text())
    assert {arm["name"] for arm in results["arms"]} == {"direct", "bootstrapped"}
    for arm in results["arms"]:
        assert {setting["conflict"] for setting in arm["settings"]} == {"none", "explicit", "implicit"}
    ceilings = {name: part["accuracy"]["estimate"] for name, part in results["ceilings"].items()}
    assert ceilings["weak"] < ceilings["middle"] < ceilings["strong"]
    students = list((place / "students").iterdir())
    assert len(students) == 2 * 3 * len(results["seeds"])
    assert all((student / "README.md").is_file() and (student / "config.json").is_file() for student in students)
    page = (place / "report.html").read_text()
    assert "<script" not in page
    assert not re.search(r"(src|href)=[\"']https?:", page)


def test_the_same_command_again_builds_nothing(folder: Path) -> None:
    before = (folder / "runs" / "quickstart" / "scores.parquet").read_bytes()
    done = shell("w2s run recipes/quickstart.yaml", folder)
    assert done.returncode == 0
    assert ", 0 built" in done.stdout
    assert (folder / "runs" / "quickstart" / "scores.parquet").read_bytes() == before


def test_readme_commands_run(folder: Path) -> None:
    lines = commands()
    assert len(lines) >= 4
    for line in lines:
        done = shell(line, folder)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_a_saved_student_scores_and_analyzes(folder: Path) -> None:
    student = next((folder / "runs" / "quickstart" / "students").iterdir())
    answers = {"chosen": " use soap.", "rejected": " use acid."}
    rows = [{"prompt": f"user: how do i clean thing {number} ? bot:", **answers} for number in range(5)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = shell(f"w2s score {student} pairs.jsonl --out own.csv", folder)
    assert done.returncode == 0, done.stderr
    scores = folder / "runs" / "quickstart" / "scores.parquet"
    line = (
        f"w2s analyze deception {scores} --weak ceiling/weak --ceiling ceiling/strong --reference direct/none "
        "--student direct/implicit --objective harmless --json out.json"
    )
    assert shell(line, folder).returncode == 0
    ours = json.loads((folder / "out.json").read_text())
    results = json.loads((folder / "runs" / "quickstart" / "results.json").read_text())
    (direct,) = (arm for arm in results["arms"] if arm["name"] == "direct")
    (implicit,) = (setting for setting in direct["settings"] if setting["conflict"] == "implicit")
    assert implicit["deception"][0]["tax"] == ours["tax"]
    assert implicit["deception"][0]["score"]["estimate"] == pytest.approx(ours["score"])


def test_readme_links_and_words() -> None:
    for link in re.findall(r"\]\(([^)#]+?)\)", TEXT):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link
    assert "@@" not in TEXT
