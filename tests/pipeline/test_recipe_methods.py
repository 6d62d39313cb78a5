"""Methods in recipes: how nodes are written, what a method's keys may be, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipe_helpers import load_recipe

from w2s_pref.core.errors import W2SError
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.training.methods import Node, method, node

TEXT = """
name: study
data:
  target: {source: testbed, objective: harmless}
  conflict: {source: testbed, objective: helpful}
  splits: {gt: 10, w2s: 10, test: 10, conflict: 10}
models: {weak: {path: ladder/xs}, middle: {path: ladder/s}, strong: {path: ladder/m}}
"""


def load(folder: Path, *overrides: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return load_recipe(Recipe, path, list(overrides))


def problem(folder: Path, *overrides: str) -> str:
    with pytest.raises(W2SError) as caught:
        load(folder, *overrides)
    return "\n".join(caught.value.problems)


def chains(recipe: Recipe) -> dict[str, list[str]]:
    return {arm: [str(place) for place in chain] for arm, chain in recipe.chains().items()}


def test_a_node_is_a_model_or_model_at_method() -> None:
    assert node("weak") == Node("weak", "reward")
    assert node("weak@sft") == Node("weak", "sft")
    assert str(Node("weak")) == "weak"
    assert str(Node("weak", "dpo")) == "weak@dpo"


def test_every_student_method_makes_an_arm_of_its_own(tmp_path: Path) -> None:
    recipe = load(tmp_path, "students=[reward, dpo]")
    assert chains(recipe) == {
        "direct": ["weak", "strong"],
        "direct@dpo": ["weak", "strong@dpo"],
        "bootstrapped": ["weak", "middle", "strong"],
        "bootstrapped@dpo": ["weak", "middle", "strong@dpo"],
    }
    assert recipe.supervision("direct@dpo") == "direct"


def test_a_last_node_with_a_method_keeps_it(tmp_path: Path) -> None:
    recipe = load(tmp_path, "students=[reward, dpo]", "arms={grid: [weak@sft, strong@ipo]}")
    assert chains(recipe) == {"grid": ["weak@sft", "strong@ipo"]}


def test_constants_follow_the_algorithm() -> None:
    assert (method("simpo", {}).beta, method("simpo", {}).gamma, method("simpo", {}).score) == (
        2.0,
        1.0,
        "mean_logprob",
    )
    assert method("dpo", {}).pre_stage
    assert not method("sft", {}).pre_stage


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("arms={a: [weak, strong@dop]}", "did you mean 'dpo'"),
        ("students=[dpoo]", "did you mean 'dpo'"),
        ("students=[dpo, dpo]", "twice"),
        ("arms={'a@b': [weak, strong]}", "'@'"),
        ("methods={mine: {beta: 0.1}}", "say which algorithm"),
        ("methods={dpo: {training: {beta: 0.2}}}", "set it for the method"),
        ("methods={dpo: {training: {learning_rat: 0.2}}}", "learning_rate"),
        ("methods={dpo: {training: {loss_type: [ipo]}}}", "the method's margin is the loss"),
        ("methods={dpo: {conflict_weight: 2.0}}", "does not read it"),
        ("methods={dpo: {options: {x: 1}}}", "does not read it"),
        ("methods={reward: {beta: 2.0}}", "does not read it"),
        ("methods={ppo: {gamma: 2.0}}", "does not read it"),
        ("methods={ppo: {training: {total_episode: 2}}}", "total_episodes"),
        ("methods={ppo: {training: {kl_coef: 0.2}}}", "beta"),
        ("methods={ppo: {reward: goldd}}", "supervisor, gold, folder:PATH"),
        ("methods={rloo: {training: {reward_weights: [1.0]}}}", "conflict_weight"),
        ("methods={dpo: {beta: 0.0}}", "methods.dpo.beta: should be above 0.0, but this is 0.0"),
        ("methods={rloo: {reference: weak}}", "does not read it"),
        ("methods={dpo: {reference: nobody}}", "no model is called 'nobody'"),
        ("methods={search: {beams: 0}}", "methods.search.beams: should be 1 or more, but this is 0"),
        ("methods={search: {successors: 0}}", "methods.search.successors: should be 1 or more, but this is 0"),
        ("methods={search: {chunk: 0}}", "methods.search.chunk: should be 1 or more, but this is 0"),
        ("methods={eft: {beams: 2}}", "does not read it"),
        ("methods={search: {training: {learning_rate: 1.0}}}", "does not read it"),
        ("students=[search]", "guided by what training did to one weak policy, but weak before it is none"),
        ("arms={a: [weak@eft, strong]}", "trains nothing, so it supervises nobody"),
        ("arms={a: [weak@dpo, strong@eft]}", "explicit, implicit would act on the training of strong@eft"),
        ("arms={a: [[weak@dpo, middle@dpo], strong@eft]}", "is several; write weak@dpo there"),
        ("speech.gold=nobody", "no model is called 'nobody'"),
        ("arms={a: [weak, strong@wspo]}", "weak is a reward model; write one policy in its place, such as weak@dpo"),
        ("arms={a: [[weak@dpo, middle@dpo], strong@sepo]}", "is several supervisors; write one policy"),
        ("arms={a: ['labels:l.csv', strong@sepo]}", "labels:l.csv is given labels; write one policy"),
        ("arms={a: [weak@wspo, strong]}", "weak@wspo stands first, but it learns from a weaker policy"),
        ("methods={sepo: {beta: 2.0}}", "methods.sepo.beta: sepo does not read it"),
        ("methods={wspo: {share: 0.2}}", "methods.wspo.share: wspo does not read it"),
        ("methods={sepo: {share: 1.2}}", "methods.sepo.share: should be 1.0 or less, but this is 1.2"),
        ("methods={macpo: {rounds: 0}}", "methods.macpo.rounds: should be 1 or more, but this is 0"),
        ("methods={macpo: {sft_weight: -0.1}}", "should be 0.0 or more, but this is -0.1"),
        ("methods={macpo: {keep: 0.0}}", "should be above 0.0, but this is 0.0"),
        ("methods={macpo: {candidates: 0}}", "should be 1 or more, but this is 0"),
        ("methods={macpo: {negative: {epochs: 1}}}", "methods.macpo.negative: unknown key 'epochs'"),
        ("methods={macpo: {labels: hard}}", "does not read it"),
        ("methods={dpo: {rounds: 2}}", "methods.dpo.rounds: dpo does not read it"),
        ("arms={a: [weak, strong@macpo]}", "learns from what a policy writes, and weak is a reward model"),
        ("arms={a: ['labels:l.csv', strong@macpo]}", "labels:l.csv is given labels; write one policy"),
        ("arms={a: [[weak@dpo, middle@dpo], strong@macpo]}", "is several supervisors; write one policy"),
        ("arms={a: [weak@ppo, strong@macpo]}", "weak@ppo is trained from rewards, so that no pairs say"),
        ("arms={a: [weak@macpo, strong]}", "weak@macpo stands first, but it learns from a weaker policy"),
        ("arms={a: [weak@dpo, strong@macpo]}", "explicit, implicit would act on the labelled pairs of strong@macpo"),
        ("models.strong.freeze_backbone=true students=[dpo]", "no new head"),
        ("methods={grpo: {training: {loss_type: bnpo}}}", "bnpo depends on how a batch is split over memory"),
        ("methods={grpo: {training: {entropy_coef: 0.1}}}", "entropy_coef: it would be taken of each part of a batch"),
        ("methods={grpo: {training: {use_adaptive_entropy: true}}}", "use_adaptive_entropy: it would be taken of each"),
        ("methods={rloo: {training: {router_aux_loss_coef: 0.1}}}", "router_aux_loss_coef: not set here; it would be"),
        ("methods={rloo: {training: {generation_kwargs: {max_new_tokens: 900}}}}", "set max_completion_length, for"),
        ("methods={grpo: {training: {generation_kwargs: {temperature: 2.0}}}}", "set temperature itself"),
        (
            "methods={grpo: {training: {top_entropy_quantile: 0.2}}}",
            "top_entropy_quantile: it would be taken",
        ),
    ],
)
def test_what_is_refused_and_how_to_mend_it(tmp_path: Path, override: str, says: str) -> None:
    overrides = override.split(" students")
    overrides = [overrides[0], *(f"students{rest}" for rest in overrides[1:])]
    assert says in problem(tmp_path, *overrides)


def test_match_compute_is_refused_for_methods_of_unknown_cost(tmp_path: Path) -> None:
    assert "not known beforehand" in problem(tmp_path, "students=[ppo]", "bootstrap.match_compute=true")
    mutual = ("arms={a: [weak@dpo, strong@macpo]}", "conflict.settings=[none]")
    assert "the cost of macpo is not known beforehand" in problem(tmp_path, *mutual, "bootstrap.match_compute=true")
    assert "labels.two_stage: macpo does not learn from labels" in problem(tmp_path, *mutual, "labels.two_stage=true")
    assert "macpo answers every prompt" in problem(tmp_path, *mutual, "labels.filter=high_confidence")
    assert "macpo learns from what two policies write" in problem(tmp_path, *mutual, "loss.name=aux_confidence")


def test_nothing_ends_a_training_by_pairs_whose_truth_its_labels_hold(tmp_path: Path) -> None:
    arms = ("arms={a: [[weak, middle], strong@stopped]}", "labels.combine=accuracy")
    stopped = "methods={stopped: {algorithm: reward, patience: 2}}"
    assert "accuracy weighs the supervisors by the truth of the calibration" in problem(tmp_path, *arms, stopped)


def test_a_search_has_something_to_choose_from(tmp_path: Path) -> None:
    asked = ("arms={a: [weak@dpo, strong@search]}", "conflict.settings=[none]", "speech={temperature: 0, samples: 1}")
    assert "at 0 strong@search, a search, has one answer to choose from" in problem(tmp_path, *asked)


@pytest.mark.parametrize("where", ["training", "models.middle.training", "methods.dpo.training"])
def test_match_compute_lengthens_epochs(tmp_path: Path, where: str) -> None:
    asked = ("students=[dpo]", "bootstrap.match_compute=true", f"{where}.max_steps=5")
    assert "max_steps stands above them" in problem(tmp_path, *asked)
