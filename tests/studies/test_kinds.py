"""A kind of study from outside the package, through the command line; and runs of all kinds that cannot be read."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import yaml
from kind_helpers import RECIPE, TOY, said, w2s, write_toy

from w2s_pref.core.errors import W2SError
from w2s_pref.planning.plan import open_for_plan
from w2s_pref.studies import kind as kinds


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the toy kind and a recipe that names it, as the working directory."""
    monkeypatch.chdir(tmp_path)
    return write_toy(tmp_path)


def test_the_toy_is_small_and_nothing_in_the_package_knows_it() -> None:
    lines = [len(path.read_text().splitlines()) for path in TOY.glob("*.py")]
    assert sum(lines) < 120
    package = Path(kinds.__file__).parent.parent
    assert not [path for path in package.rglob("*.py") if "toy_kind" in path.read_text() or "Coin" in path.read_text()]


def test_a_kind_from_a_folder_plans_runs_shows_and_has_a_status(toy: Path) -> None:
    assert "3 miss" in said("plan", "flips.yaml")
    assert "data: throws 150" in said("plan", "flips.yaml")
    ran = said("run", "flips.yaml")
    assert "3 stages: 0 from the store, 3 built" in ran
    assert "flips: heads in" in ran
    folder = toy / "runs" / "flips"
    assert {path.name for path in folder.iterdir()} == {
        "results.json", "recipe.yaml", "environment.json", "report.html"
    }  # fmt: skip
    results = json.loads((folder / "results.json").read_text())
    assert results["provenance"]["command"] == "w2s run flips.yaml"
    assert set(results["provenance"]["stages"]) == {f"throws · seed {seed}" for seed in range(3)}
    assert results["verdict"]["headline"] in (folder / "report.html").read_text()
    assert "3 miss" in said("status", "flips.yaml", "coin.throws=7")
    status = said("status", "flips.yaml")
    assert "flips is finished. Report:" in status
    assert str(Path("runs/flips/report.html")) in status
    assert "3 hit" in status
    assert "Every stage of other stands in the store; w2s run writes" in said("status", "flips.yaml", "name=other")
    assert results["verdict"]["headline"] in said("status")
    assert "3 stages: 3 from the store, 0 built" in said("run", "flips.yaml")
    assert json.loads(said("schema", "recipe", "--kind", "toy_kind"))["title"] == "CoinRecipe"
    assert json.loads(said("schema", "results", "--kind", "toy_kind"))["title"] == "CoinResults"
    costs = said("plan", "flips.yaml", "--cost", "--json", "cost.json")
    assert "throws" in costs


def test_a_run_is_shown_from_anywhere_and_its_recipe_runs_again(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said("run", "flips.yaml")
    (toy / "elsewhere").mkdir()
    monkeypatch.chdir(toy / "elsewhere")
    assert said("show", toy / "runs" / "flips") == said("show", toy / "runs" / "flips" / "results.json")
    resolved = toy / "runs" / "flips" / "recipe.yaml"
    assert yaml.safe_load(resolved.read_text())["kind"] == str(toy / "toy_kind")
    assert "3 hit" in said("plan", resolved, f"store={toy / 'runs' / 'store'}")


def test_bad_recipes_of_a_foreign_kind_are_sentences(toy: Path) -> None:
    for words, parts in {
        ("coin.throws=0",): ("flips.yaml: coin.throws: should be 1 or more, but this is 0",),
        ("coin.sides=2",): ("coin: unknown key 'sides'",),
        ("kind=tou_kind",): ("there is no kind of study 'tou_kind'", "known: chess, generalization, preferences"),
        ("kind=toy_kind/study.py:CoinRecipe",): ("export a w2s_pref.studies.kind.StudyKind",),
        ("kind=chess",): ("unknown key 'coin'; did you mean",),
    }.items():
        code, _, err = w2s("plan", "flips.yaml", *words)
        assert code == 1
        assert all(part in err for part in parts), err
    assert not (toy / "runs").exists()


def test_a_kind_may_be_named_by_file_and_attribute(toy: Path) -> None:
    assert "3 miss" in said("plan", "flips.yaml", "kind=toy_kind/__init__.py:KIND")


def test_an_installed_kind_is_found_by_the_recipes_key(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(toy))
    point = EntryPoint("coin", "toy_kind:KIND", kinds.GROUP)
    monkeypatch.setattr(kinds, "entry_points", lambda group: [point] if group == kinds.GROUP else [])
    (toy / "flips.yaml").write_text(RECIPE.replace("kind: toy_kind\n", ""))
    assert open_for_plan(toy / "flips.yaml", []).kind.key == "coin"
    assert kinds.find("coin", toy).recipe.__name__ == "CoinRecipe"


def test_comparing_says_where_it_cannot(toy: Path) -> None:
    said("run", "flips.yaml")
    code, _, err = w2s("compare", "runs/flips", "runs/flips")
    assert (code, "studies of kind coin have no comparison" in err) == (1, True)
    old = toy / "chess"
    old.mkdir()
    (old / "results.json").write_text(json.dumps(chess_results()))
    code, _, err = w2s("compare", "runs/flips", "chess")
    assert code == 1
    assert "different kinds of study (runs/flips: coin, chess: chess)" in err


def chess_results() -> dict[str, Any]:
    """The smallest results.json of a chess study."""
    source = {"command": "w2s run", "created": "now", "seconds": 1.0, "world_size": 1}
    return {
        "kind": "chess", "name": "c", "seeds": [0], "counts": {}, "puzzles": 1, "positions": 1, "chance": 0.1,
        "players": [], "labels": [], "cells": [], "cells_without_gap": 0, "splits": {}, "models": {},
        "verdict": {"headline": "no chains"}, "recipe": {},
        "provenance": {**source, "versions": {}, "machine": {}, "stages": {}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '{"kind": "chess", "name": "c"}',
            "its results.json does not follow schema 2 (seeds: is missing, and has no default)",
        ),
        ('{"kind": "generalization", "name": "l"}', "(seeds: is missing, and has no default)"),
        ('{"name": "p"}', "its results.json does not follow schema 2"),
        ('{"kind": "chess", "na', "its results.json does not follow schema 2 (it is not JSON"),
        ("[]", "its results.json does not follow schema 2"),
        ('{"kind": "marbles"}', "of kind 'marbles', which is neither built in nor installed"),
    ],
)
def test_results_that_cannot_be_read_are_sentences(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "results.json").write_text(text)
    code, out, err = w2s("show", tmp_path)
    assert code == 1
    assert out == ""
    assert err.startswith("error: run ")
    assert sentence in err
    assert "run the recipe again" in err or "name its folder" in err


def test_a_laboratory_run_whose_numbers_are_damaged_is_a_sentence(tmp_path: Path) -> None:
    results = chess_results()
    keep = ("name", "seeds", "models", "verdict", "recipe", "provenance")
    lab = {"kind": "generalization", "tasks": {}, **{key: results[key] for key in keep}}
    (tmp_path / "results.json").write_text(json.dumps(lab))
    assert "has no readable generalization.json" in w2s("show", tmp_path)[2]
    (tmp_path / "generalization.json").write_text("{}")
    assert "its generalization.json does not follow schema 2" in w2s("show", tmp_path)[2]


def test_an_analysis_of_preferences_refuses_other_kinds(tmp_path: Path) -> None:
    from w2s_pref.results.read import load_results

    (tmp_path / "results.json").write_text(json.dumps(chess_results()))
    with pytest.raises(W2SError, match="is a study of kind chess, not of preferences"):
        load_results(tmp_path)


def test_schemas_of_built_in_kinds() -> None:
    for name, what, title in (
        ("preferences", "results", "Results"),
        ("generalization", "results", "LabResults"),
        ("chess", "recipe", "ChessRecipe"),
    ):
        assert json.loads(said("schema", what, "--kind", name))["title"] == title
    assert said("schema") == said("schema", "recipe", "--kind", "data")
