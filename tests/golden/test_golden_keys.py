"""A store of yesterday is a hit today: the stage keys of every shipped recipe are those written down in ``keys``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from golden_helpers import RECIPES, Key, as_text, checkout, difference, keys_of, missing, pinned_file


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with checkout() as found:
        yield found


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_keys_of_a_recipe_are_those_pinned(recipe: str, folder: Path) -> None:
    absent = missing(recipe)
    if absent:
        pytest.skip(absent)
    problem = difference(recipe, keys_of(recipe, folder))
    assert problem is None, problem


def test_no_keys_are_pinned_of_a_recipe_that_is_gone() -> None:
    assert {path.name for path in pinned_file("x").parent.iterdir()} == {pinned_file(each).name for each in RECIPES}


def test_a_change_is_said_with_its_kinds_and_its_first_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [Key("model", 2, f"{n:064x}"[::-1], f"model {n}") for n in range(3)]
    keys.append(Key("analysis", 3, "f" * 64, "analysis"))
    monkeypatch.setattr("golden_helpers.HERE", tmp_path)
    pinned_file("a.yaml").parent.mkdir()
    assert "no keys are pinned" in str(difference("a.yaml", keys))
    pinned_file("a.yaml").write_text(as_text(keys), encoding="utf-8")
    assert difference("a.yaml", keys[::-1]) is None
    other = [keys[0], keys[1]._replace(key="e" * 64), *keys[2:]]
    said = str(difference("a.yaml", other))
    assert "model 2: 3 stages pinned, 3 now, 1 of them new" in said
    assert "'model 1'" in said
    assert "analysis" not in said
    assert "pin.py" in said
    assert "analysis 3: 1 stages pinned, 0 now" in str(difference("a.yaml", keys[:3]))
    last_digit = [keys[0]._replace(key=keys[0].key[:-1] + "7"), *keys[1:]]
    assert "model 2" in str(difference("a.yaml", last_digit))  # the digest is over full keys
