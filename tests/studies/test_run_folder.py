"""The run folder is there whole or not at all, whenever its writer is killed, and nothing hidden is left for long."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kind_helpers import said, w2s, write_toy
from processes import run
from rich.console import Console

import w2s_pref
from w2s_pref.core.errors import W2SError
from w2s_pref.engine.identity import myself
from w2s_pref.launch.display import StageDisplay
from w2s_pref.planning import plan
from w2s_pref.studies import notices
from w2s_pref.studies.folder import fresh_folder

#: Runs the recipe, and ends like kill -9 as soon as the file of that name has been written.
KILLED = """
import os, sys
from pathlib import Path
last, write = sys.argv[1], Path.write_text
def write_text(path, *args, **options):
    done = write(path, *args, **options)
    if path.name == last:
        os._exit(9)
    return done
Path.write_text = write_text
sys.argv = ["w2s", "run", "flips.yaml", *sys.argv[2:]]
from w2s_pref.cli.main import main
main()
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_toy(tmp_path)


def killed_after(file: str, *overrides: str) -> None:
    """Run in a process of its own until ``file`` of the run folder is written."""
    Path("killed.py").write_text(KILLED)
    done = run("killed.py", file, *overrides)
    assert done.returncode == 9, done


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("file", ["recipe.yaml", "results.json"])
def test_killed_between_two_files_the_next_run_goes_on(toy: Path, file: str) -> None:
    killed_after(file)
    assert not (toy / "runs" / "flips").exists()
    assert len(hidden(toy / "runs")) == 1
    assert "3 from the store, 0 built" in said("run", "flips.yaml")
    assert (toy / "runs" / "flips" / "results.json").is_file()
    assert hidden(toy / "runs") == []


def test_killed_while_it_is_written_anew_the_old_run_stands(toy: Path) -> None:
    said("run", "flips.yaml")
    before = (toy / "runs" / "flips" / "results.json").read_bytes()
    killed_after("environment.json", "coin.throws=60")
    assert (toy / "runs" / "flips" / "results.json").read_bytes() == before
    said("run", "flips.yaml", "coin.throws=60")
    assert (toy / "runs" / "flips" / "results.json").read_bytes() != before
    assert hidden(toy / "runs") == []


def test_only_what_the_dead_left_of_this_run_is_swept(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    place = myself().tag.split("-")[0]
    names = {
        f".flips-{place}-{dead.pid}-1": False,  # a dead writer's
        f".flips.old-{place}-{dead.pid}-1": False,  # what it had moved aside
        f".flips-two-{place}-{dead.pid}-1": True,  # of another run
        f".flips-elsewhere-{dead.pid}-1": True,  # of another machine, which cannot be asked
        ".flips-notes": True,  # somebody's own
    }
    for name in names:
        (tmp_path / name).mkdir()
    with fresh_folder(tmp_path / "flips") as fresh:
        (fresh / "results.json").write_text("{}")
    assert {name: (tmp_path / name).exists() for name in names} == names
    assert (tmp_path / "flips" / "results.json").is_file()


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def half() -> None:
        with fresh_folder(tmp_path / "flips") as fresh:
            (fresh / "half").write_text("")
            raise W2SError("no numbers")

    with pytest.raises(W2SError, match="no numbers"):
        half()
    assert list(tmp_path.iterdir()) == []


def test_a_run_says_before_it_builds_that_it_replaces_another(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the command line and from Python, in the main process of a launch; not where nothing is replaced."""
    sentence = "holds the run of another recipe (other coin.throws); a run replaces it at its end: to keep it, give"
    assert "replaces" not in said("run", "flips.yaml")
    assert "replaces" not in said("run", "flips.yaml", "store=elsewhere")
    first, *others = said("run", "flips.yaml", "coin.throws=60").splitlines()
    assert sentence in first
    assert any(line.startswith("[1/3]") for line in others)
    capsys.readouterr()
    w2s_pref.run("flips.yaml", workers=1)
    assert sentence in capsys.readouterr().out
    StageDisplay(Console(), main=False).line(sentence)
    assert capsys.readouterr().out == ""
    (toy / "runs" / "flips" / "results.json").unlink()  # no run any more: refused, and so not replaced
    code, out, err = w2s("run", "flips.yaml", "coin.throws=60")
    assert (code, "replaces" in out) == (1, False)
    assert "is not a run folder" in err


def test_a_run_of_other_stages_under_the_same_recipe_is_another_run(toy: Path) -> None:
    """The recipe's text is the same; the stages' keys, which data, models and code decide, are not."""
    said("run", "flips.yaml")
    results = toy / "runs" / "flips" / "results.json"
    assert "flips is finished" in said("status", "flips.yaml")
    found = json.loads(results.read_text())
    found["provenance"]["stages"]["throws · seed 0"] = "0" * 64
    results.write_text(json.dumps(found))
    sentence = "holds a run of the same recipe on other data, models or code"
    assert "Every stage of flips stands in the store" in said("status", "flips.yaml")
    assert sentence in " ".join(said("plan", "flips.yaml").split())
    assert sentence in said("run", "flips.yaml")
    assert "flips is finished" in said("status", "flips.yaml")
    for damaged in ("{}", '{"provenance": {"stages": null}}', "[]"):  # of a kind that names no stages
        results.write_text(damaged)
        assert "flips is finished" in said("status", "flips.yaml")


def test_a_run_is_told_what_its_plan_says(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan.warnings_of is notices.warnings_of
    monkeypatch.setattr(notices, "warnings_of", lambda opened: ["look at this"])
    assert "look at this" in said("run", "flips.yaml")


#: Put into the toy's stage: its coin is a function of the user's, which somebody edits while seed 1 is built.
OWN = """
from w2s_pref.core.references import resolve
from w2s_pref.core.source_hash import source_hash


class OwnStage(ThrowStage):
    @property
    def payload(self):
        return {"code": source_hash("mine.py:shift", Path.cwd()), **super().payload}

    def build(self, builder, folder):
        if self.seed == 1:
            Path("mine.py").write_text("def shift():\\n    return 'edited'\\n")
        return super().build(builder, folder) | {"shift": resolve("mine.py:shift", Path.cwd())()}
"""


def test_code_edited_during_a_run_is_not_stored_under_the_key_of_before(toy: Path) -> None:
    """Nobody ran the file while the recipe was read. Once it has run, the run goes on with that text."""
    study, package = toy / "toy_kind" / "study.py", toy / "toy_kind" / "__init__.py"
    study.write_text(study.read_text() + OWN)
    package.write_text(package.read_text().replace("ThrowStage", "OwnStage"))
    (toy / "mine.py").write_text("def shift():\n    return 'as it was'\n")

    def built() -> list[str]:
        found = [json.loads(file.read_text()) for file in (toy / "store").rglob("manifest.json")]
        return sorted(f"{each['payload']['seed']} {each['meta']['shift']}" for each in found)

    code, _, err = w2s("run", "flips.yaml", "store=store", "seeds=[1, 2]")
    assert code == 1
    assert "mine.py was edited while this run was built" in err
    assert built() == []
    assert "2 built" in said("run", "flips.yaml", "store=store", "seeds=[1, 2]")
    assert built() == ["1 edited", "2 edited"]
    (toy / "mine.py").write_text("def shift():\n    return 'as it was'\n")
    assert "3 built" in said("run", "flips.yaml", "store=store")
    assert built() == ["0 as it was", "1 as it was", "1 edited", "2 as it was", "2 edited"]


def test_environment_and_recipe_stand_beside_the_results(toy: Path) -> None:
    said("run", "flips.yaml")
    here = json.loads((toy / "runs" / "flips" / "environment.json").read_text())
    assert set(here) == {"versions", "machine", "world_size"}


def test_a_run_folder_that_is_a_link_is_written_where_it_leads_to(tmp_path: Path) -> None:
    """To a larger disk, say. A folder cannot be renamed over a link: that was seen when all had been computed."""
    (tmp_path / "disk" / "flips").mkdir(parents=True)
    (tmp_path / "disk" / "flips" / "results.json").write_text("old")
    (tmp_path / "flips").symlink_to("disk/flips")
    with fresh_folder(tmp_path / "flips") as fresh:
        (fresh / "results.json").write_text("{}")
    assert (tmp_path / "flips").is_symlink()
    assert (tmp_path / "disk" / "flips" / "results.json").read_text() == "{}"
    assert hidden(tmp_path) == hidden(tmp_path / "disk") == []
