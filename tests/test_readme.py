"""The README's commands run as written, in a clean folder, and the report is what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, make_rows
from processes import ENVIRONMENT, run

from w2s_pref.core.errors import W2SError
from w2s_pref.planning.plan import open_for_plan

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
    verdicts = {control["name"]: control["verdict_code"] for control in results["controls"]}
    assert verdicts == {"honest": "undefined", "blind": "not_resolved", "deceiver": "selective"}
    assert results["controls"][2]["gates"]["placebo_of"] == "unrelated"  # siblings know nearly the same items
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


def test_the_recipe_of_ones_own_data_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As written, but for its models, which no machine without the hub has; and without conflicting data."""
    monkeypatch.chdir(tmp_path)
    (recipe,) = re.findall(r"```yaml\n(name: mine\n.*?)```", TEXT, flags=re.S)
    (tmp_path / "mine.yaml").write_text(recipe)
    target = make_rows(3300).rename(columns={"chosen": "safe_answer", "rejected": "other_answer"})
    target.to_csv("my_pairs.csv", index=False)
    make_rows(1700, seed=1, marker="no").to_json("more_pairs.jsonl", orient="records", lines=True)
    opened = open_for_plan(Path("mine.yaml"), [])
    assert {name: len(rows) for name, rows in opened.study.rows.items()}["conflict_test"] == 500
    assert sum(stage.kind == "model" for stage in opened.stages) == 3 * (2 + 3)  # seeds x (ceilings + conflicts)
    alone = ["data.conflict=null", "data.splits={gt: 1000, w2s: 1000, test: 1000}"]
    with pytest.raises(W2SError, match=r"write conflict: \{settings: \[none\]\} for a study without conflicting data"):
        open_for_plan(Path("mine.yaml"), alone)
    assert open_for_plan(Path("mine.yaml"), [*alone, "conflict.settings=[none]"]).stages


def test_readme_links_and_words() -> None:
    for link in re.findall(r"\]\(([^)#]+?)\)", TEXT):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link
    assert "@@" not in TEXT
