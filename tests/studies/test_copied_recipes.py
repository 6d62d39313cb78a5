"""`w2s init --from`: a copy of a shipped recipe means the same files as the recipe itself, wherever it lies."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT
from fault_helpers import succeeded, w2s

from w2s_pref.core.yaml_io import load_yaml
from w2s_pref.studies.shipped import shipped


def places(value: object, base: Path) -> list[Path]:
    """Every path of a recipe that leaves its folder, without dots."""
    if isinstance(value, dict | list):
        return [
            place for each in (value.values() if isinstance(value, dict) else value) for place in places(each, base)
        ]
    return [(base / value).resolve()] if isinstance(value, str) and value.startswith("../") else []


@pytest.mark.parametrize("name", ["real/hh_reward", "real/generative", "methods/judges_real", "generalization/local"])
def test_paths_that_leave_the_folder_lead_to_the_same_places(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "deep" / "copy"
    succeeded("init", copy, "--from", name)
    recipe = shipped()[name].resolve()
    there = places(load_yaml(copy / recipe.name), copy)
    assert there == places(load_yaml(recipe), recipe.parent)
    assert there


def test_a_recipe_that_extends_one_of_another_folder(tmp_path: Path) -> None:
    succeeded("init", tmp_path, "--from", "risk/local")
    assert load_yaml(tmp_path / "local.yaml") == load_yaml(shipped()["risk/local"])


def test_what_is_not_there_is_said_in_a_line(tmp_path: Path) -> None:
    done = succeeded("init", tmp_path, "--from", "generalization/local")
    models = ROOT / "runs" / "lm"
    said = next((line for line in done.out.splitlines() if line.startswith("not here yet")), "")
    assert [name for name in ("tiny", "small", "large") if f"/runs/lm/{name}" in said] == [
        name for name in ("tiny", "small", "large") if not (models / name).exists()
    ]
    assert "not here yet" not in succeeded("init", tmp_path / "quick", "--from", "quickstart").out


def test_what_is_no_path_of_the_recipe_stays(tmp_path: Path) -> None:
    """The command in a comment is typed in the checkout's root, wherever the recipe lies."""
    succeeded("init", tmp_path, "--from", "generalization/chess_local")
    assert "--games ../shared/data/chess" in (tmp_path / "chess_local.yaml").read_text(encoding="utf-8")


def test_recipes_that_extend_each_other_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("extends: two.yaml\n")
    (tmp_path / "two.yaml").write_text("extends: one.yaml\n")
    done = w2s("init", tmp_path / "copy", "--from", tmp_path / "one.yaml")
    assert done.code == 1
    assert "extends itself, through one.yaml → two.yaml" in done.err
    assert not (tmp_path / "copy").exists()


def test_two_files_of_one_name_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: base\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.yaml").write_text("extends: ../study.yaml\nname: mine\n")
    done = w2s("init", tmp_path / "copy", "--from", tmp_path / "mine" / "study.yaml")
    assert done.code == 1
    assert "files of one name, study.yaml, which cannot lie in one folder" in done.err
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    "extends", ['"base/one.yaml"', "'base/one.yaml'", "  base/one.yaml  # the first", "./base/one.yaml"]
)
def test_however_the_extended_recipe_is_written(extends: str, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "one.yaml").write_text("name: one\nseeds: [0]\n")
    (tmp_path / "two.yaml").write_text(f"# extends: base/one.yaml\nname: two\nextends: {extends}\n")
    succeeded("init", tmp_path / "copy", "--from", tmp_path / "two.yaml")
    assert load_yaml(tmp_path / "copy" / "two.yaml") == {"name": "two", "seeds": [0]}


def test_code_and_data_that_lie_with_a_recipe_are_found_from_its_copy(tmp_path: Path) -> None:
    """Code beside the recipe is copied; all else is named where it is. Values that are no paths stay."""
    for name in (
        "beside.py",
        "code/deep.py",
        "my data/pairs.jsonl",
        "harmless.jsonl",
        "pairs/x.csv",
        "kind/__init__.py",
    ):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text("")
    (tmp_path / "mine" / "base.yaml").write_text("store: code/deep.py\nloss: {name: code/deep.py:focal}\n")
    (tmp_path / "mine" / "study.yaml").write_text(
        """\
extends: "base.yaml"
kind: 'kind'
name: pairs
data:
  target: {source: "beside.py:pairs", objective: pairs}
  conflict: {source: [my data/pairs.jsonl, harmless.jsonl, pairs]}
methods: {mine: {reward: "folder:../elsewhere", algorithm: 'code/deep.py:rooted'}}
arms: {direct: ["labels:code/deep.py:score", strong]}
models: {strong: {path: ladder/l}}
"""
    )
    copy = tmp_path / "copy"
    done = succeeded("init", copy, "--from", tmp_path / "mine" / "study.yaml")
    assert load_yaml(copy / "study.yaml") == {
        "store": "code/deep.py",
        "loss": {"name": "../mine/code/deep.py:focal"},
        "kind": "../mine/kind",
        "name": "pairs",
        "data": {
            "target": {"source": "beside.py:pairs", "objective": "pairs"},
            "conflict": {"source": ["../mine/my data/pairs.jsonl", "../mine/harmless.jsonl", "../mine/pairs"]},
        },
        "methods": {"mine": {"reward": "folder:../elsewhere", "algorithm": "../mine/code/deep.py:rooted"}},
        "arms": {"direct": ["labels:../mine/code/deep.py:score", "strong"]},
        "models": {"strong": {"path": "ladder/l"}},
    }
    assert sorted(path.name for path in copy.iterdir()) == ["base.yaml", "beside.py", "study.yaml"]
    assert "not here yet, so get it or write other paths: ../elsewhere\n" in done.out


def test_paths_of_an_extended_recipe_start_at_the_folder_of_the_one_that_is_copied(tmp_path: Path) -> None:
    """As they do in a run: `extends` takes keys over, and they are read beside the recipe that is given."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "one.yaml").write_text("name: one\ndata: {target: {source: ../pairs.csv, objective: safe}}\n")
    (tmp_path / "a" / "pairs.csv").write_text("")
    (tmp_path / "a" / "b" / "two.yaml").write_text("extends: ../../one.yaml\nname: two\n")
    succeeded("init", tmp_path / "copy", "--from", tmp_path / "a" / "b" / "two.yaml")
    found = load_yaml(tmp_path / "copy" / "two.yaml")
    assert found["data"]["target"]["source"] == "../a/pairs.csv"


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    """The files before it were overwritten, and those behind it were not."""
    (tmp_path / "recipe.yaml").write_text("name: mine\n")
    (tmp_path / "helpful.jsonl").mkdir()
    done = w2s("init", tmp_path, "--force")
    assert "helpful.jsonl: a folder stands in this place" in done.err
    assert (tmp_path / "recipe.yaml").read_text() == "name: mine\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helpful.jsonl", "recipe.yaml"]


def test_a_student_that_cannot_be_copied_says_why(tmp_path: Path) -> None:
    student = tmp_path / "run" / "students" / "direct-none-seed0"
    student.mkdir(parents=True)
    (student / "model.safetensors").symlink_to("gone")
    done = w2s("export", tmp_path / "run", student.name, tmp_path / "new")
    assert done.code == 1
    assert "No such file or directory" in done.err
    assert "None" not in done.err
    assert not (tmp_path / "new").exists()
