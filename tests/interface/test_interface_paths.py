"""What Python names by ``~`` is in the home folder, as on a command line; options that are none are sentences."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import w2s_pref as w2s
from w2s_pref.core.errors import W2SError
from w2s_pref.interface import run as run_module
from w2s_pref.interface.recipes import given_recipe

SCORES = "id,group,model,seed,delta\n" + "".join(f"i{n},g{n},{m},0,{n - 3}\n" for n in range(8) for m in "wsc")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_runs_beside_a_run_may_lie_at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[Path] = []
    monkeypatch.setattr(run_module, "Comparison", named.extend)
    run = w2s.Run.__new__(w2s.Run)
    run.folder = home / "a"
    run.compare("~/b", Path("~/c"), run, "~")
    assert named == [home / "a", home / "b", home / "c", home / "a", home]


def test_a_score_table_may_lie_at_home(home: Path) -> None:
    (home / "scores.csv").write_text(SCORES)
    assert w2s.analyze.generalization("~/scores.csv", weak="w", student="s", ceiling="c", resamples=100).n


def test_what_a_recipe_at_home_names_lies_beside_it(home: Path) -> None:
    """Its folder was taken for one called ~ below the working directory, and data were looked for there."""
    assert given_recipe("~/study.yaml") == given_recipe(Path("~/study.yaml")) == home / "study.yaml"
    (home / "base.yaml").write_text("name: base\nseeds: [3]\n")
    assert given_recipe({"extends": "~/base.yaml", "name": "mine"}) == {"name": "mine", "seeds": [3]}
    assert f"recipe {home / 'none.yaml'}: cannot be read" in _of(lambda: w2s.plan("~/none.yaml"))
    assert "recipe: '~nobody-of-this-name/x.yaml' cannot be a path" in _of(
        lambda: w2s.plan("~nobody-of-this-name/x.yaml")
    )


def test_a_folder_whose_name_is_not_utf_8(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow and safetensors cannot open what lies there: a run ended in a traceback after its first model."""
    folder = home / os.fsdecode(b"alt\xe9")
    folder.mkdir()
    assert "a name in it is not UTF-8" in _of(lambda: w2s.plan(folder / "study.yaml"))
    monkeypatch.chdir(folder)
    assert "a name in it is not UTF-8" in _of(lambda: w2s.plan("study.yaml"))


@pytest.mark.parametrize("seed", [-1, 1.5, True, 2**32])
def test_a_seed_that_is_none(home: Path, seed: Any) -> None:
    (home / "scores.csv").write_text(SCORES)
    models = {"weak": "w", "student": "s", "ceiling": "c"}
    calls = (
        lambda: w2s.analyze.generalization("~/scores.csv", **models, seed=seed),
        lambda: w2s.analyze.deception("~/scores.csv", **models, reference="s", seed=seed),
        lambda: w2s.analyze.risk("~/scores.csv", weak="w", strong="s", seed=seed),
    )
    for call in calls:
        assert "give a whole number from 0 to 4,294,967,295" in _of(call)


def test_what_is_no_score_table(home: Path) -> None:
    models: dict[str, Any] = {"weak": "w", "student": "s", "ceiling": "c"}
    assert "this is of type NoneType" in _of(lambda: w2s.analyze.generalization(None, **models))  # type: ignore[arg-type]
    assert f"{home}: this is a folder" in _of(lambda: w2s.analyze.generalization("~", **models))
    (home / "scores.csv").write_text(SCORES)
    assert "no rows for model None" in _of(
        lambda: w2s.analyze.generalization(home / "scores.csv", **{**models, "weak": None})
    )


def _of(call: Callable[[], object]) -> str:
    with pytest.raises(W2SError) as error:
        call()
    return str(error.value)
