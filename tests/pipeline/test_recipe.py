"""Recipes: every mistake is a sentence that names the place and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipe_helpers import load_recipe

from w2s_pref.core.errors import W2SError
from w2s_pref.studies.preferences.recipe import Recipe

BASE = """
name: study
data:
  target: {source: testbed, objective: harmless}
  conflict: {source: testbed, objective: helpful}
  splits: {gt: 10, w2s: 10, test: 10, conflict: 10}
models:
  weak: {path: ladder/xs}
  strong: {path: ladder/s}
training: {learning_rate: 1.0e-3}
"""


def recipe(tmp_path: Path, text: str = BASE) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("seed=[1]", "unknown key 'seed'; did you mean 'seeds'"),
        ("seeds=3", "seeds: .*list"),
        ("seeds=[1,1]", "a seed stands twice"),
        ("seeds=[]", "seeds"),
        ("analysis.placebo=weak", "analysis.placebo: 'weak' is the weak model of arm 'direct' itself"),
        ("analysis.placebo=[weak]", "analysis.placebo: 'weak' is the weak model of arm 'direct' itself"),
        ("analysis.placebo=other", "analysis.placebo: .*'other'"),
        ("analysis.placebo=[weak, other]", "analysis.placebo: .*'other'"),
        ("training.learning_rat=1.0e-3", "unknown key 'learning_rat'; did you mean 'learning_rate'"),
        ("training.lr=1.0e-3", "did you mean 'learning_rate'"),
        ("training.learning_rate=.001", r"training.learning_rate: '.001' is text, not a number .*; write 0.001"),
        ("training.learning_rate=.nan", "training.learning_rate: should be a number, but this is the text '.nan'"),
        ("training.batch_size=[[]]", r"training.batch_size: should be a number, but this is \[\[\]\]"),
        ("training.max_grad_norm=null", "training.max_grad_norm: should not be null; take the key out"),
        ("training.optim=3", "training.optim: should be text, but this is 3; quote it"),
        ("loss={name: [[]]}", r"loss.name: .*\[\[\]\]"),
        ("seeds=[-1]", "seeds.0: should be 0 or more, but this is -1"),
        ("seeds=[4294967296]", "seeds.0: should be 4294967295 or less, but this is 4294967296"),
        (f"seeds={list(range(3000))}", "seeds: should have 100 or fewer entries"),
        ("data.seed=-1", "data.seed: "),
        ("store=a\0b", "cannot stand in a text file"),
        ('store="a\\0b"', "store: .* cannot be a path: it holds a NUL character"),
        (f"output={'x' * 5000}", "output: .*cannot be a path: it has 5,000 bytes, and a path has at most 4,096"),
        (f"output={'x' * 300}", "output: .*cannot be a path: a name in it has 300 bytes"),
        ("models.weak.path=~nobody-here/x", "models.weak.path: .*no user is called 'nobody-here' here"),
        (f"models.{'x' * 101}.path=x", "a key has 101 characters, and at most 100 are read"),
        (f"name={'x' * 101}", "name: should have 100 or fewer characters"),
        ("training.learning_rate=fast", "training.learning_rate: should be a number, but this is the text 'fast'"),
        ("training.num_train_epochs=true", "training.num_train_epochs: should be a number"),
        ("training.batch_size=2.5", "training.batch_size: should be a whole number"),
        ("training.bf16=maybe", "training.bf16: should be true or false"),
        ("training.output_dir=x", "training.output_dir: not set here; the store decides"),
        ("training.save_only_model=true", "save_only_model: not set here; runs continue by themselves"),
        ("training.eos_token=x", "eos_token: not set here; texts end as the model's tokenizer ends them"),
        ("training.label_smoothing_factor=0.3", "label_smoothing_factor: not set here; soft labels say"),
        ("training.eval_on_start=true", "eval_on_start: not set here; scores of the test set are a stage"),
        ("training.train_sampling_strategy=group_by_length", "train_sampling_strategy: not group_by_length"),
        (
            "training.accelerator_config={gradient_accumulation_kwargs: {num_steps: 4}}",
            "accelerator_config: gradient_accumulation_kwargs.num_steps would multiply the batch; set",
        ),
        ("training.accelerator_config={split_batches: true}", "split_batches would share a batch among processes by"),
        ("training.lr_scheduler_type=greedy", "greedy reads evaluations within the training, which there are none of"),
        ("models.strong.lora={r: 2, lora_dropout: 0.1}", "lora_dropout: dropout is off while it trains"),
        ("models.strong.lora={r: 2, init_lora_weights: pissa_niter_4}", "pissa_niter_4 changes the weights below the"),
        ("methods={ppo: {training: {kl_target: 6.0, kl_horizon: 3}}}", "kl_target: kl_coef changes by up to 0.2"),
        ("training.gradient_accumulation_steps=2", "set batch_size"),
        ("training.hub_token=abc", "training.hub_token: not set here; nothing is uploaded while it trains"),
        ("models.weak.training.seed=3", "models.weak.training.seed: not set here; use the recipe's seeds"),
        ("models.weak.pth=x", "unknown key 'pth'; did you mean 'path'"),
        ("analysis.threshold=.6", "analysis.threshold: '.6' is text"),
        ("analysis.threshold=0.2", "analysis.threshold"),
        ("conflict.settings=[explicit]", "settings needs 'none'"),
        ("conflict.settings=[none,implict]", "conflict.settings"),
        ("arms={direct: [weak, stong]}", "no model is called 'stong'; did you mean 'strong'"),
        ("arms={direct: [weak]}", "at least two models"),
        ("arms={a b: [weak, strong], a-b: [weak, strong]}", "'a b' and 'a-b' would share the folder students/a-b-none"),
        ("labels.filter=oracle", "labels.filter"),
        ("labels.threshold=0.9", "labels.threshold: only filter and two_stage read it, and there is neither"),
        ("methods.sure={algorithm: reward, labels: {threshold: 0.9}}", "methods.sure.labels.threshold: only filter"),
        ("name=a/b", "name"),
        ("loss.name=aux", "loss.name"),
        ("data.splits.gt=many", "data.*splits.*gt"),
        ("data.spilts={}", "unknown key 'spilts'; did you mean 'splits'"),
        ("nonsense", "write key=value"),
        ("name.a=1", "name is not a mapping"),
    ],
)
def test_mistakes_are_sentences(tmp_path: Path, change: str, words: str) -> None:
    with pytest.raises(W2SError, match=words) as caught:
        load_recipe(Recipe, recipe(tmp_path), [change])
    assert "Traceback" not in str(caught.value)


def test_a_probe_of_which_models_may_drop_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(W2SError, match=r"monitor: data\.overlong: drop may leave out pairs"):
        load_recipe(Recipe, recipe(tmp_path), ["monitor={}", "data.overlong=drop"])


def test_several_mistakes_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(W2SError) as caught:
        load_recipe(
            Recipe, recipe(tmp_path), ["training.learning_rat=1", "training.bf16=2", "models.weak.training.seed=1"]
        )
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "not valid YAML"),
        ("- a\n- b", "should be a mapping"),
        ("name: a\nname: b", "key 'name' stands twice"),
        ("extends: recipe.yaml\n", "extends itself"),
        ("extends: nowhere.yaml\n", "cannot be read"),
    ],
)
def test_unreadable_recipes(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(W2SError, match=words):
        load_recipe(Recipe, recipe(tmp_path, text))
    with pytest.raises(W2SError, match="cannot be read"):
        load_recipe(Recipe, tmp_path / "none.yaml")


def test_extends_and_overrides_merge(tmp_path: Path) -> None:
    recipe(tmp_path)
    child = tmp_path / "child.yaml"
    child.write_text("extends: recipe.yaml\nname: child\ntraining: {num_train_epochs: 2}\n")
    loaded = load_recipe(Recipe, child, ["training.bf16=true"])
    assert loaded.name == "child"
    assert loaded.training == {"learning_rate": 1e-3, "num_train_epochs": 2, "bf16": True}


def chains(found: Recipe) -> dict[str, list[str]]:
    """Arms with their nodes as they are written."""
    return {arm: [str(node) for node in chain] for arm, chain in found.chains().items()}


def test_null_takes_away_and_overrides_replace(tmp_path: Path) -> None:
    recipe(tmp_path, BASE + "arms: {one: [weak, strong], other: [strong, weak]}\n")
    child = tmp_path / "child.yaml"
    child.write_text("extends: recipe.yaml\narms: null\n")
    assert chains(load_recipe(Recipe, child)) == {"direct": ["weak", "strong"]}
    assert list(chains(load_recipe(Recipe, tmp_path / "recipe.yaml", ["arms={mine: [weak, strong]}"]))) == ["mine"]


def test_arms(tmp_path: Path) -> None:
    assert chains(load_recipe(Recipe, recipe(tmp_path))) == {"direct": ["weak", "strong"]}
    middle = load_recipe(Recipe, recipe(tmp_path), ["models.middle={path: ladder/s}"])
    assert chains(middle) == {"direct": ["weak", "strong"], "bootstrapped": ["weak", "middle", "strong"]}
    ladder = load_recipe(Recipe, recipe(tmp_path), ["models={ladder: [ladder/xs, ladder/s, {path: ladder/m}]}"])
    assert ladder.ladder == ["xs", "s", "m"]
    assert chains(ladder) == {
        "direct:xs>s": ["xs", "s"],
        "direct:xs>m": ["xs", "m"],
        "bootstrapped:xs>m": ["xs", "s", "m"],
        "direct:s>m": ["s", "m"],
    }


def test_a_resolved_recipe_reads_back_the_same(tmp_path: Path) -> None:
    import yaml

    first = load_recipe(Recipe, recipe(tmp_path), ["models={ladder: [ladder/xs, ladder/s]}"])
    again = load_recipe(Recipe, recipe(tmp_path, yaml.safe_dump(first.model_dump(mode="json"))))
    assert again == first
