"""Studies with policies, from recipe to results: every method, what is shared, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Stage
from w2s_pref.interface.run import open_run
from w2s_pref.models.policies import load_saved_policy
from w2s_pref.planning.cost.estimate import Estimator
from w2s_pref.stages.model_stage import StartStage
from w2s_pref.stages.policies import LogProbStage, PairPolicyStage, PolicyStage
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.preferences.students import export
from w2s_pref.studies.run import open_recipe, run

SMALL = [
    "seeds=[0]",
    "speech={prompts: 12, samples: 2, max_new_tokens: 6}",
    "conflict.settings=[none]",
    "arms={direct: [weak, strong]}",
    "training.save_steps=100",
]
PPO = "ppo: {training: {total_episodes: 16, batch_size: 8, response_length: 6, learning_rate: 1.0e-3}}"
RLOO = "rloo: {training: {batch_size: 8, num_generations: 2, max_completion_length: 6, max_steps: 2}}"
REWARD = """
def brief(prompts, answers):
    return [-float(len(answer)) for answer in answers]
"""
MARGIN = """
from w2s_pref.margins import margin

@margin("gap-of-means", reference=False)
def gap_of_means(batch, scale=1.0):
    return scale * (batch.logp_a / batch.tokens_a - batch.logp_b / batch.tokens_b)
"""
pytestmark = pytest.mark.usefixtures("one_store")


class Silent:
    """A display that keeps what happened to each stage."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def stage(self, number: int, total: int, stage: Stage, event: str, seconds: float) -> None:
        if event in {"hit", "done"}:
            self.events.append((event, stage.name))

    def step(self, done: int, total: int) -> None:
        pass

    def signal(self, step: int, signals: dict[str, float]) -> None:
        pass


def go(recipe: Path, *overrides: str) -> tuple[dict, Path, list[tuple[str, str]]]:
    display = Silent()
    _, folder = run(recipe, [*SMALL, *overrides], display, "w2s run")
    return json.loads((folder / "results.json").read_text()), folder, display.events


def test_every_method_runs_and_is_judged(study: Path) -> None:
    (study / "margins.py").write_text(MARGIN)
    mine = "mine: {algorithm: 'margins.py:gap_of_means', options: {scale: 3.0}, score: mean_logprob}"
    methods = f"methods={{{mine}, {PPO}, {RLOO}}}"
    students = "students=[reward, sft, dpo, simpo, ipo, mine, ppo, rloo]"
    results, folder, events = go(study / "tiny.yaml", students, methods)
    arms = {arm["name"]: arm for arm in results["arms"]}
    wanted = ["direct", *(f"direct@{name}" for name in ("sft", "dpo", "simpo", "ipo", "mine", "ppo", "rloo"))]
    assert list(arms) == wanted
    assert {arm["supervision"] for arm in arms.values()} == {"direct"}
    kinds = pd.read_parquet(folder / "scores.parquet").groupby("model")["kind"].unique().map(list).to_dict()
    assert kinds["direct@dpo/none"] == kinds["direct@ppo/none"] == kinds["direct@rloo/none"] == ["implicit_reward"]
    assert kinds["direct@simpo/none"] == kinds["direct@mine/none"] == kinds["direct@sft/none"] == ["mean_logprob"]
    spoken = {entry["model"] for entry in results["speech"]}
    assert {f"direct@{name}/none" for name in ("dpo", "ppo", "rloo")} <= spoken
    answers = pd.read_parquet(folder / "answers.parquet")
    assert (answers.groupby(["model", "seed"]).size() == 24).all()
    assert np.isfinite(answers[["logp", "ref_logp", "gold_target", "gold_conflict"]].to_numpy()).all()
    again = go(study / "tiny.yaml", students, methods)[2]
    assert {event for event, _ in again} == {"hit"}
    assert {event for event, _ in events} >= {"done"}


def test_conflict_settings_share_one_reference(study: Path) -> None:
    settings = "conflict.settings=[none, explicit, implicit]"
    overrides = [*SMALL, "students=[dpo, ipo, ppo]", settings, f"methods={{{PPO}}}"]
    graph = open_recipe(study / "tiny.yaml", overrides).study
    starts = {graph.trained[f"direct@{name}/{c}", 0].start.key for name in ("dpo", "ipo", "ppo")
              for c in ("none", "explicit", "implicit")}  # fmt: skip
    assert len(starts) == 1
    on_w2s = [s for s in all_stages(graph) if isinstance(s, LogProbStage) and s.on.name == "w2s"]
    assert len(on_w2s) == 1  # six DPO and IPO students, one pass of the reference


def test_without_a_pre_stage_all_arms_and_seeds_share_the_reference(study: Path) -> None:
    method = "methods={dpo: {pre_stage: false}}"
    overrides = [*SMALL, "students=[dpo]", method, "seeds=[0,1]", "arms={}"]
    graph = open_recipe(study / "tiny.yaml", overrides).study
    references = [s for s in all_stages(graph) if isinstance(s, LogProbStage) and isinstance(s.policy, StartStage)]
    assert sorted(stage.on.name for stage in references) == ["conflict_test", "gt", "test", "w2s"]


def test_every_conflict_acts_on_policies(study: Path) -> None:
    conflicts = ["explicit", "implicit", "placebo", "gold"]
    settings = f"conflict.settings=[none, {', '.join(conflicts)}]"
    _, folder, _ = go(study / "tiny.yaml", "students=[dpo, ppo]", f"methods={{{PPO}}}", settings)
    table = pd.read_parquet(folder / "scores.parquet").pivot_table(index="id", columns="model", values="delta")
    for name in ("dpo", "ppo"):
        none = table[f"direct@{name}/none"].dropna()
        alike = [each for each in conflicts if np.allclose(none, table[f"direct@{name}/{each}"].dropna())]
        assert alike == []


def test_the_four_pipelines(study: Path) -> None:
    methods = "methods={rlhf: {algorithm: dpo}, rlaif: {algorithm: dpo}}"
    arms = ("arms={a: [weak@sft, strong@sft], b: [weak@sft, strong@rlaif], c: [weak@rlhf, strong@sft], "
            "d: [weak@rlhf, strong@rlaif]}")  # fmt: skip
    results, _, _ = go(study / "tiny.yaml", arms, methods)
    assert [arm["chain"][0] for arm in results["arms"]] == ["weak@sft", "weak@sft", "weak@rlhf", "weak@rlhf"]


def save_adapter(folder: Path, base: Path) -> None:
    """An adapter with random weights over a model, as peft saves it."""
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)


def test_an_adapter_is_start_and_reference_of_a_whole_study(study: Path) -> None:
    """A reward model and a DPO policy from a folder that holds an adapter, through to the report."""
    save_adapter(study / "adapter", study / "large")
    overrides = ["models.strong.path=adapter", "students=[reward, dpo]", "methods={dpo: {reference: strong}}"]
    results, folder, _ = go(study / "tiny.yaml", *overrides)
    assert [arm["method"] for arm in results["arms"]] == ["reward", "dpo"]
    assert "direct@dpo" in (folder / "report.html").read_text()
    opened = open_recipe(study / "tiny.yaml", [*SMALL, *overrides])
    plain = open_recipe(study / "tiny.yaml", [*SMALL, *overrides[1:]])
    policy, other = (each.study.trained["direct@dpo/none", 0] for each in (opened, plain))
    assert isinstance(policy, PolicyStage)
    assert policy.reference.model.spec.path == "adapter"
    assert policy.key != other.key
    model, _ = load_saved_policy(opened.store.get(policy.kind, policy.key).folder)
    base, trained = AutoModelForCausalLM.from_pretrained("large").state_dict(), model.state_dict()
    moved = {name: float((trained[name].float().cpu() - value).abs().max()) for name, value in base.items()}
    adapted = [change for name, change in moved.items() if "q_proj" in name or "down_proj" in name]
    assert min(adapted) > 10 * max(change for name, change in moved.items() if "k_proj" in name)


def test_a_weak_policy_labels_by_its_own_score_and_gives_token_rewards(study: Path) -> None:
    """WSPO and SePO read one pass over the tokens, share the ceiling of DPO, and are compared with its student."""
    arms = "arms={a: [weak@dpo, strong@dpo], b: [weak@dpo, strong@wspo], c: [weak@dpo, strong@sepo]}"
    results, _, _ = go(study / "tiny.yaml", arms, "speech.prompts=0")
    assert {(each["first"], each["second"]) for each in results["comparisons"]} == {("a", "b"), ("a", "c")}
    opened = open_recipe(study / "tiny.yaml", [*SMALL, arms])

    def table(kind: str, stage: Stage) -> pd.DataFrame:
        return pd.read_parquet(opened.store.get(kind, stage.key).folder / "table.parquet").set_index("id")

    scores = opened.study.labels["a/hop1", 0].scores
    own, ref = table("logprobs", scores.logprobs), table("logprobs", scores.reference)
    labels = table("labels", opened.study.labels["a/hop1", 0])
    gap = own - ref
    wanted = 1 / (1 + np.exp(-0.1 * (gap["logp_a"] - gap["logp_b"])))
    assert np.allclose(labels["p"], wanted.loc[labels.index])
    trained = opened.study.trained
    assert len({trained[f"ceiling/strong@{name}", 0].key for name in ("dpo", "wspo", "sepo")}) == 1
    spoken = {name for name, _ in opened.study.judged}
    assert "ceiling/strong@dpo" in spoken
    assert not {"ceiling/strong@wspo", "ceiling/strong@sepo"} & spoken  # the same policy would speak three times
    (tuned,), (again,) = (trained[f"{arm}/none", 0].rewards.tuned for arm in "bc")
    assert tuned.key == again.key
    tokens = table("logprobs", tuned)
    pd.testing.assert_frame_equal(tokens[own.columns], own, rtol=1e-12)
    assert tokens["each_a"].map(len).tolist() == tokens["ids_a"].map(len).tolist() == own["tokens_a"].tolist()


def test_bootstrapped_policies_and_hard_labels(study: Path) -> None:
    arms = "arms={long: [weak, middle@dpo, strong@dpo]}"
    results, _, _ = go(study / "tiny.yaml", arms, "methods={dpo: {labels: hard}}", "labels.filter=high_confidence",
                       "labels.threshold=0.5")  # fmt: skip
    assert [hop["supervisor"] for hop in results["arms"][0]["hops"]] == ["weak", "middle@dpo"]


def test_rewards_from_functions_and_folders(study: Path) -> None:
    (study / "rewards.py").write_text(REWARD)
    method = f"methods={{{PPO[:-1]}, reward: 'rewards.py:brief'}}}}"
    go(study / "tiny.yaml", "students=[ppo]", method)
    graph = open_recipe(study / "tiny.yaml", [*SMALL, "students=[ppo]", method]).study
    before = graph.trained["direct@ppo/none", 0].key
    (study / "rewards.py").write_text(REWARD + "\n# edited\n")
    after = open_recipe(study / "tiny.yaml", [*SMALL, "students=[ppo]", method]).study
    assert after.trained["direct@ppo/none", 0].key != before


def test_a_reward_model_of_another_objective_is_refused(study: Path) -> None:
    _, folder, _ = go(study / "tiny.yaml", "students=[reward]", "name=plain")
    model = folder / "students" / "direct-none-seed0"
    method = f"methods={{{PPO[:-1]}, reward: 'folder:{model.resolve()}'}}}}"
    open_recipe(study / "tiny.yaml", [*SMALL, "students=[ppo]", method])
    with pytest.raises(W2SError, match=r"was trained on 'target', but the recipe's target is 'third'"):
        open_recipe(study / "tiny.yaml", [*SMALL, "students=[ppo]", method, "data.target.objective=third"])


def test_a_reference_of_another_vocabulary_is_refused(study: Path) -> None:
    from conftest import make_tokenizer, save_tiny

    save_tiny(study / "other")
    make_tokenizer(pad_id=103).save_pretrained(study / "other")
    overrides = [*SMALL, "students=[dpo]", "models.other={path: other}", "methods={dpo: {reference: other}}"]
    with pytest.raises(W2SError, match="different vocabularies"):
        open_recipe(study / "tiny.yaml", overrides)
    config = json.loads((study / "medium" / "tokenizer_config.json").read_text())
    (study / "other" / "tokenizer.json").write_bytes((study / "medium" / "tokenizer.json").read_bytes())
    other = study / "other" / "tokenizer_config.json"
    other.write_text(json.dumps(config | {"eos_token": "w1"}))
    with pytest.raises(W2SError, match=r"methods.dpo.reference: .* write the same pairs as different tokens"):
        open_recipe(study / "tiny.yaml", overrides)
    with pytest.raises(W2SError, match=r"arms: strong@eft: .* write the same pairs as different tokens"):
        open_recipe(study / "tiny.yaml", [*SMALL, "models.other={path: other}", "arms={a: [other@dpo, strong@eft]}"])
    other.write_text(json.dumps(config, indent=7))
    open_recipe(study / "tiny.yaml", overrides)
    make_tokenizer(pad_id=103).save_pretrained(study / "other")
    overrides[-1] = "methods={dpo: {reference: middle}}"
    with pytest.raises(W2SError, match=r"ceiling/other@dpo as the supervisor of strong@wspo: .* different vocab"):
        open_recipe(study / "tiny.yaml", [*overrides[:-1], "arms={a: [other@dpo, strong@wspo]}"])
    stage = open_recipe(study / "tiny.yaml", overrides).study.trained["direct@dpo/none", 0]
    assert isinstance(stage, PolicyStage)
    assert stage.reference.model.spec.path == "medium"


GUIDED = "arms={search: [weak@dpo, strong@search], eft: [weak@dpo, strong@eft]}"


def test_guided_models_are_judged_as_students_are(study: Path) -> None:
    methods = "methods={search: {beams: 2, successors: 2, chunk: 3}}"
    results, folder, events = go(study / "tiny.yaml", GUIDED, methods)
    assert not [name for _, name in events if name.startswith(("search/none ·", "eft/none ·"))]  # nothing is trained
    speech = {one["model"]: one for one in results["speech"]}
    assert {"search/none", "eft/none", "best-of-n/search"} <= set(speech)
    rival = speech["search/none"]["best_of"]
    assert rival["model"] == "best-of-n/search"
    assert rival["candidates"] >= 1
    assert "best_of" not in speech["eft/none"]
    answers = pd.read_parquet(folder / "answers.parquet").set_index("model")
    assert rival["drawn"]["estimate"] == pytest.approx(answers.loc["search/none", "drawn"].mean())
    assert rival["spent"]["estimate"] == pytest.approx(answers.loc["best-of-n/search", "drawn"].mean())
    accuracy = {arm["name"]: arm["settings"][0]["performance"]["accuracy"]["estimate"] for arm in results["arms"]}
    assert accuracy["search"] == results["ceilings"]["weak@dpo"]["accuracy"]["estimate"]  # it ranks as its guide does
    assert results["ceilings"]["strong@eft"] == results["ceilings"]["strong@search"]  # both are DPO on ground truth
    assert {(each["first"], each["second"]) for each in results["comparisons"]} == {("search", "eft")}
    with pytest.raises(W2SError, match=r"search has no weights of its own: .*policy/[0-9a-f]{64} of the run's store"):
        open_run(folder).student("search")
    with pytest.raises(W2SError, match="eft has no weights of its own: nothing is trained, weak@dpo guides strong"):
        export(folder, "eft-none-seed0", folder / "out")
    _, _, again = go(study / "tiny.yaml", GUIDED, methods)
    assert {event for event, _ in again} == {"hit"}
    changed = keys(study, methods) ^ keys(study, methods.replace("chunk: 3", "chunk: 2"))
    said = {f"{name} {what}" for name in ("search/none", "best-of-n/search") for what in ("answers", "judged")}
    assert {name for name, _ in changed} == {*(f"{name} · seed 0" for name in said), "analysis"}


def keys(study: Path, methods: str) -> set[tuple[str, str]]:
    opened = open_recipe(study / "tiny.yaml", [*SMALL, GUIDED, methods])
    return {(stage.name, stage.key) for stage in all_stages(opened.study)}


def test_emulated_fine_tuning_needs_one_vocabulary_and_search_does_not(study: Path) -> None:
    from conftest import make_tokenizer

    make_tokenizer(pad_id=103).save_pretrained(study / "large")
    open_recipe(study / "tiny.yaml", [*SMALL, "arms={direct: [weak@dpo, strong@search]}"])
    with pytest.raises(W2SError, match=r"strong@eft mixes the tokens .* different vocabularies"):
        open_recipe(study / "tiny.yaml", [*SMALL, "arms={direct: [weak@dpo, strong@eft]}"])


def test_a_policy_and_its_reward_model_may_have_different_tokenizers(study: Path) -> None:
    from conftest import make_tokenizer

    make_tokenizer(pad_id=103).save_pretrained(study / "small")
    results, _, _ = go(study / "tiny.yaml", "students=[ppo]", f"methods={{{PPO}}}")
    assert results["arms"][0]["method"] == "ppo"


MUTUAL = "arms={dpo: [weak@dpo, strong@dpo], macpo: [weak@dpo, strong@macpo]}"


def test_rounds_of_macpo_are_models_of_the_study_and_built_once(study: Path) -> None:
    methods = "methods={macpo: {rounds: 2, candidates: 2, keep: 0.8, sft: {num_train_epochs: 1}}}"
    results, folder, _ = go(study / "tiny.yaml", MUTUAL, methods)
    plain, arm = results["arms"]
    assert "rounds" not in plain
    names = ["macpo/none round 0", "macpo/none round 1", "macpo/none"]
    assert [(each["model"], each["number"]) for each in arm["rounds"]] == [(name, n) for n, name in enumerate(names)]
    scores = pd.read_parquet(folder / "scores.parquet").query("objective == 'target'").set_index("model")["delta"]
    for each in arm["rounds"]:
        own = scores.loc[each["model"]]
        assert each["accuracy"]["estimate"] == pytest.approx(((own > 0) + 0.5 * (own == 0)).mean())
    last, first = arm["rounds"][-1], arm["rounds"][0]
    assert last["accuracy"] == arm["settings"][0]["performance"]["accuracy"]
    assert first["gain"] is None
    assert last["gain"]["estimate"] == pytest.approx(last["accuracy"]["estimate"] - first["accuracy"]["estimate"])
    speech = {one["model"]: one for one in results["speech"]}
    assert {speech[name]["reference"] for name in names} == {"reference/macpo"}
    assert "Round by round" in (folder / "report.html").read_text()
    again = open_recipe(study / "tiny.yaml", [*SMALL, MUTUAL, methods])
    assert all(again.store.has(stage.kind, stage.key) for stage in all_stages(again.study))
    student = again.study.trained["macpo/none", 0]
    assert isinstance(student, PairPolicyStage)
    labels = student.parts[0].labels
    table = pd.read_parquet(again.store.get("labels", labels.key).folder / "table.parquet")
    prompts = len(labels.candidates.prompts)
    assert len(table) == len(student.parts[0].rows) == prompts
    assert table["keep"].sum() <= 0.8 * prompts
    assert table.loc[table["keep"], "perplexity"].max() <= table.loc[~table["keep"], "perplexity"].max()
    costs = {cost.name.removesuffix(" · seed 0"): cost.work for cost in Estimator(again).costs()}
    assert costs["macpo/none"].pairs == prompts
    assert costs["macpo/none round 0"].trained > 0
