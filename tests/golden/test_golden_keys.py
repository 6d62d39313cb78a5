"""Every shipped recipe plans, no prompt is in two of its splits, and its stage keys are those written down in ``keys``.

So a store of yesterday is a hit today.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from golden_helpers import RECIPES, Key, as_text, checkout, difference, keys_of, missing, opened_of, pinned_file

from w2s_pref.planning.plan import rows_of
from w2s_pref.studies.generalization.recipe import Recipe as LabRecipe
from w2s_pref.studies.kind import AnyOpened, all_stages


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with checkout() as found:
        yield found


@pytest.fixture(scope="module", params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> str:
    """Its name."""
    absent = missing(request.param)
    if absent:
        pytest.skip(absent)
    return str(request.param)


@pytest.fixture(scope="module")
def opened(recipe: str, folder: Path) -> AnyOpened:
    """That recipe, opened once for all that is asked of it."""
    return opened_of(recipe, folder)


def test_the_keys_of_a_recipe_are_those_pinned(recipe: str, opened: AnyOpened) -> None:
    problem = difference(recipe, keys_of(opened))
    assert problem is None, problem


def test_a_recipe_plans(opened: AnyOpened) -> None:
    rows = rows_of(opened)
    assert rows[-1].kind == "analysis" or opened.kind.key == "chess"
    assert {row.state for row in rows} == {"miss"}
    assert len({stage.key for stage in all_stages(opened.study)}) == len(rows)


def test_splits_share_no_prompt(opened: AnyOpened) -> None:
    """Of a task of the laboratory, whose splits are ``task.name``; of all pairs where there is one task."""
    if set(opened.prepared.hashes.values()) == {"unreachable"}:
        pytest.skip("its data is on the hub")
    splits, tasks = opened.prepared.splits, isinstance(opened.recipe, LabRecipe)
    for one, other in combinations([name for name in splits if "/" not in name], 2):
        if not tasks or one.split(".")[0] == other.split(".")[0]:
            assert not set(splits[one]["group"]) & set(splits[other]["group"]), (one, other)
            assert not set(splits[one]["prompt"]) & set(splits[other]["prompt"]) - {""}, (one, other)


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
