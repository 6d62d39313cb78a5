"""What a recipe says about methods reaches the stages it speaks of, and no others."""

from __future__ import annotations

from pathlib import Path

from w2s_pref.stages.policies import PolicyScoreStage, PolicyStage
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.studies.preferences.graph import Study
from w2s_pref.studies.run import open_recipe
from w2s_pref.training.method_checks import method_problems
from w2s_pref.training.methods import MethodConfig, method

SMALL = ["seeds=[0]", "speech.prompts=0", "conflict.settings=[none]", "arms={direct: [weak, strong]}"]


def study(recipe: Path, *overrides: str) -> Study:
    return open_recipe(recipe, [*SMALL, *overrides]).study


def policy(opened: Study, name: str) -> PolicyStage:
    stage = opened.trained[name, 0]
    assert isinstance(stage, PolicyStage)
    return stage


def test_on_policy_arguments_do_not_reach_the_fine_tuning_on_pairs(tiny: Path) -> None:
    """RLOO's batch counts answers and its max_steps drawings: all methods with the same ``sft`` share one start."""
    opened = study(
        tiny,
        "students=[dpo, ppo, rloo]",
        "methods={dpo: {sft: {learning_rate: 1.0e-3}, training: {num_train_epochs: 1}}, "
        "ppo: {sft: {learning_rate: 1.0e-3}, training: {response_length: 6, batch_size: 64, learning_rate: 1.0e-6}}, "
        "rloo: {sft: {learning_rate: 1.0e-3}, training: {max_completion_length: 6, batch_size: 16, max_steps: 2}}}",
    )
    starts = {name: policy(opened, f"direct@{name}/none").start for name in ("dpo", "ppo", "rloo")}
    assert len({stage.key for stage in starts.values()}) == 1
    rloo = starts["rloo"]
    assert isinstance(rloo, PolicyStage)
    assert "max_steps" not in rloo.arguments
    assert rloo.arguments["batch_size"] == opened.recipe.training.get("batch_size", 32)


def test_the_fine_tuning_takes_nothing_of_its_method(tiny: Path) -> None:
    opened = study(
        tiny,
        "students=[dpo]",
        "methods={dpo: {sft: {num_train_epochs: 1}, training: {num_train_epochs: 3, learning_rate: 2.0e-4}}}",
    )
    start = policy(opened, "direct@dpo/none").start
    assert isinstance(start, PolicyStage)
    assert (start.arguments["num_train_epochs"], start.arguments["learning_rate"]) == (1, 1.0e-3)


def test_arguments_of_a_reward_method_train_it(tiny: Path) -> None:
    plain, given = (
        study(tiny, "students=[reward, other]", f"methods={{other: {{algorithm: reward{more}}}}}")
        for more in ("", ", training: {learning_rate: 0.125}")
    )
    stage = given.trained["direct@other/none", 0]
    assert isinstance(stage, TrainStage)
    assert stage.arguments["learning_rate"] == 0.125
    assert stage.key != plain.trained["direct@other/none", 0].key
    assert given.trained["direct/none", 0].key == plain.trained["direct/none", 0].key


def test_the_implicit_reward_of_sft_ranks(tiny: Path) -> None:
    """A supervisor of on-policy students needs one; β 0 would score every answer 0."""
    opened = study(tiny, "students=[sft]", "methods={sft: {score: implicit_reward}}")
    stage = opened.scores["direct@sft/none", 0, "test"]
    assert isinstance(stage, PolicyScoreStage)
    assert stage.reference is not None
    assert stage.beta == 1.0


def test_no_policy_has_a_scale_of_zero() -> None:
    assert all(method(name, {}).beta > 0 for name in ("sft", "dpo", "simpo", "ipo", "ppo", "rloo", "grpo"))


def test_gamma_of_ipo_is_refused() -> None:
    assert method_problems({"ipo": MethodConfig(gamma=1.0)}) == ["methods.ipo.gamma: ipo does not read it; take it out"]


def test_what_is_watched_is_part_of_the_key(tiny: Path) -> None:
    """The curve in the artifact is of one form of score; another form is another curve."""
    watched = ["students=[simpo]", "monitor={every: auto}", "data.splits.test=32", "data.splits.probe=32"]
    other = [*watched, "methods={simpo: {score: paper_dpo}}"]
    keys = [study(tiny, *given).trained["direct@simpo/none", 0].key for given in (watched, other)]
    assert keys[0] != keys[1]
