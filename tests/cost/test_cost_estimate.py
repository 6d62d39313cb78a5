"""Costs of stages by hand, and of a whole recipe against what the store says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from rich.console import Console

from w2s_pref.core.errors import W2SError
from w2s_pref.models.info import ModelFacts
from w2s_pref.models.spec import ModelSpec
from w2s_pref.planning.cost.estimate import Cost, Device, Estimator, _storage, totals
from w2s_pref.planning.cost.memory import Sharding, read_sharding, training_memory
from w2s_pref.planning.cost.speed import Bench, line
from w2s_pref.planning.cost.table import costs_as_json, duration, scaled, show_costs
from w2s_pref.planning.cost.work import CLAIM, Lengths, Work, assumed, heard, lengths, said, seen_pairs, work
from w2s_pref.planning.plan import open_for_plan, show_plan
from w2s_pref.stages.answers import JudgeStage, SampleStage
from w2s_pref.stages.arguments import Argued, ArgumentStage, TemplatedArguments, Transcript
from w2s_pref.stages.labels import Part
from w2s_pref.stages.model_stage import StartStage
from w2s_pref.stages.online import OnlinePolicyStage, Reward
from w2s_pref.stages.policies import PairPolicyStage
from w2s_pref.stages.prompted import PromptedScores
from w2s_pref.stages.rewards import ScoreStage, TrainStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.answers import Split
from w2s_pref.studies.generalization.finetune import FinetuneStage, PromptStage
from w2s_pref.studies.generalization.probes import ActivationStage
from w2s_pref.studies.run import run
from w2s_pref.training.arguments import DEFAULTS

CONFIG = {"model_type": "gpt2", "n_embd": 8, "n_layer": 2, "n_head": 2, "vocab_size": 32, "n_positions": 16}
FACTS = ModelFacts(ModelSpec(path="x"), None, 2000, CONFIG, "h", "t", None)
WIDER = {**CONFIG, "hidden_size": 32, "intermediate_size": 64}
LARGE = ModelFacts(ModelSpec(path="y"), None, None, WIDER, "large", "t", None)
BACKBONE = 2 * (4 * 64 + 8 * 64)


class Silent:
    """A display that shows nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def rows(name: str, n: int) -> Rows:
    ids = [f"{name}{at}" for at in range(n)]
    frame = pd.DataFrame({"id": ids, "group": ids, "form": "text", "prompt": "", "a": "x", "b": "y", "truth": 1})
    return Rows(name, frame.assign(objective="target"))


def stage(*sizes: int, **arguments: object) -> TrainStage:
    parts = tuple(Part(rows(f"part{at}", n), "truth") for at, n in enumerate(sizes))
    given = {**DEFAULTS, "batch_size": 8, "num_train_epochs": 2, **arguments}
    return TrainStage("model", FACTS, parts, 0, given, given, {}, {"max_length": 64, "overlong": "truncate"})


def test_a_training_costs_three_forward_passes_over_all_epochs() -> None:
    from w2s_pref.models.shapes import shape

    size = assumed(None)  # a prompt of 150, two answers of 60: 270 tokens a pair, 210 of context
    done = work(stage(40), shape(FACTS), size)
    assert (done.pairs, done.trained, done.scored) == (80, 80 * 270, 0)
    assert done.flops == 3 * 80 * 270 * (2 * BACKBONE + 4 * 2 * 8 * 210)
    again = work(stage(40, activation_checkpointing=True), shape(FACTS), size)
    assert again.flops == pytest.approx(done.flops * 4 / 3)


def test_a_mixture_sees_both_parts_in_as_many_updates() -> None:
    assert seen_pairs(stage(40)) == 80
    assert seen_pairs(stage(40, 40)) == 160


def test_scoring_is_one_forward_pass() -> None:
    from w2s_pref.models.shapes import shape

    scores = ScoreStage("scores", rows("test", 10), stage(40), {"max_length": 64, "overlong": "truncate"})
    done = work(scores, shape(FACTS), assumed(None))
    assert (done.pairs, done.trained, done.scored) == (10, 0, 2700)


START = StartStage("as it is", FACTS, 0)
TOKENS = {"max_length": None, "overlong": "truncate"}


def argued(n: int, protocol: str, turns: int = 1) -> Argued:
    """Pairs that a model of at most 30 tokens has argued about."""
    on, last = rows("test", n), None
    for _ in range(turns):
        last = ArgumentStage("argues", on, protocol == "critique", 0, START, "?", {"max_new_tokens": 30}, last)
    return Argued(on.name, on.frame, on.control, transcript=Transcript(last, protocol, "own", 0))


def test_a_policy_that_reads_the_preferred_answer_alone_runs_no_other() -> None:
    """A prompt of 150 and an answer of 60 tokens, three passes, 80 pairs; the vocabulary of 32 for the answer alone."""
    from w2s_pref.models.shapes import shape

    given = {**DEFAULTS, "batch_size": 8, "num_train_epochs": 2}

    def trained(**objective: object) -> Work:
        part = Part(rows("w2s", 40), "truth")
        policy = PairPolicyStage("p", START, None, 0, given, given, TOKENS, (part,), (), objective)
        return work(policy, shape(FACTS), assumed(None))

    each = 2 * BACKBONE + 4 * 2 * 8 * 210
    for name in ("wspo", "sft"):
        assert trained(name=name).trained == 80 * 210
        assert trained(name=name).flops == 3 * (80 * 210 * each + 80 * 60 * 2 * 8 * 32)
        assert trained(name=name, alpha=0.5).trained == 80 * 270
        assert trained(name=name, student={"name": "aux_confidence"}).trained == 80 * 270
    assert trained(name="sepo").trained == trained(name="dpo").trained == 80 * 270


def test_transcripts_are_read_too() -> None:
    """A prompt of 150, answers of 60. A debate of two turns: four arguments of 30 tokens before each answer."""
    from w2s_pref.models.shapes import shape

    debate, critique, consultancy = argued(10, "debate", 2), argued(10, "critique"), argued(10, "consultancy")
    assert [said(each) for each in (debate, critique, consultancy, rows("test", 10))] == [120, 60, 30, 0]
    size, known = assumed(None), shape(FACTS)
    judge = ScoreStage("scores", debate, stage(40), TOKENS)
    assert work(judge, known, size).scored == 10 * 2 * (120 + 150 + 60)
    assert work(replace(judge, on=critique), known, size).scored == 10 * 2 * (30 + 150 + 60)
    assert work(replace(judge, on=consultancy), known, size).scored == 10 * 2 * (30 + 150 + 60)
    assert heard(debate, size, 300).row == 2 * 300  # 330 lose 30 of their start
    trained = replace(stage(40), parts=(Part(argued(40, "debate"), "truth"),), tokens=TOKENS)
    assert work(trained, known, size).trained == 80 * 2 * (60 + 150 + 60)
    asked = PromptedScores("asked", debate, START, "?")
    assert work(asked, known, size).scored == 10 * 2 * (150 + 120 + 120)
    last = debate.transcript.last
    assert (work(last, known, size).scored, work(last, known, size).generated) == (20 * (150 + 120 + 60), 20 * 30)
    assert work(last.before, known, size).scored == 20 * (150 + 120)
    claims = TemplatedArguments("claims", debate, False, 0, False, 0.5)
    told = Argued("test", debate.frame, None, transcript=Transcript(claims, "debate", "own", 0))
    assert said(told) == 2 * CLAIM


def test_judges_of_answers_cost_what_their_own_size_asks() -> None:
    """A gold model four times as wide reads 10 answers of 30 tokens after prompts of 150; so does the reference."""
    from w2s_pref.models.shapes import shape

    size, small = assumed(None), shape(FACTS)
    wide = shape(LARGE)
    samples = SampleStage("answers", START, rows("test", 10), {"samples": 1, "max_new_tokens": 30}, 0, TOKENS)
    gold = {"target": replace(stage(40), model=LARGE)}
    read, context = 10 * (150 + 30), size.context
    own = work(JudgeStage("judged", samples, START, gold, None), small, size)
    assert (own.scored, own.flops) == (read, wide.forward_flops(read, context))
    other = JudgeStage("judged", samples, StartStage("another", LARGE, 1), gold, None)
    assert work(other, small, size).flops == own.flops + wide.forward_flops(read, context, 10 * 30)


def test_rewards_of_answers_cost_what_their_own_size_asks() -> None:
    from w2s_pref.models.shapes import shape

    size, small = assumed(None), shape(FACTS)
    given = {"num_train_epochs": 1, "num_generations": 2, "max_completion_length": 30, "batch_size": 8}

    def flops(source: ScoreStage | str) -> float:
        rewards = (Reward("target", source),)
        policy = OnlinePolicyStage("p", START, None, 0, given, given, TOKENS, "grpo", rows("w2s", 10), None, rewards)
        return work(policy, small, size).flops

    def scores(facts: ModelFacts) -> ScoreStage:
        return ScoreStage("scores", rows("w2s", 10), replace(stage(40), model=facts), TOKENS)

    read = 20 * (150 + 30)
    for facts in (FACTS, LARGE):
        assert flops(scores(facts)) == flops("random") + shape(facts).forward_flops(read, 180)
    assert flops("folder:saved") == flops(scores(FACTS))


def test_lengths_are_assumed_where_nothing_can_be_tokenised() -> None:
    found = lengths(rows("test", 3).frame, FACTS, {"max_length": 105, "overlong": "truncate"})
    assert not found.measured
    assert (found.prompt, found.answers, found.row, found.context) == (75.0, 60.0, 135.0, 105.0)


def test_memory_by_hand_and_its_shares() -> None:
    one = training_memory(stage(40, micro_batch_tokens=100))
    state, activations = 2000 * (4 + 4 + 8), 100 * 8 * 2 * 34 * 2
    assert one == state + activations
    assert training_memory(stage(40, micro_batch_tokens=100), Sharding(4, 1)) == 2000 * (8 + 2) + activations
    assert training_memory(stage(40, micro_batch_tokens=100), Sharding(4, 2)) == 2000 * (4 + 1 + 2) + activations
    assert training_memory(stage(40, micro_batch_tokens=100), Sharding(4, 3)) == 2000 * 4 + activations
    again = training_memory(stage(40, micro_batch_tokens=100, activation_checkpointing=True))
    assert again == state + activations // 2


def test_memory_of_a_batch_that_is_smaller_than_what_goes_through_at_once() -> None:
    state, token = 2000 * (4 + 4 + 8), 8 * 2 * 34 * 2
    assert training_memory(stage(40)) == state + 8 * 2 * 64 * token
    assert training_memory(stage(40), Sharding(4)) == state + 2 * 2 * 64 * token
    assert training_memory(stage(40, per_device_train_batch_size=3)) == state + 3 * 2 * 64 * token
    assert training_memory(stage(40, 40)) == state + 16 * 2 * 64 * token  # a mixture's batch is enlarged
    assert training_memory(stage(40, batch_size=64)) == state + 4096 * token


def test_frozen_layers_keep_no_activations() -> None:
    token = 8 * 34 * 2  # of a layer

    def needed(**spec: object) -> float:
        model = replace(FACTS, spec=ModelSpec.model_validate({"path": "x", **spec}))
        return training_memory(replace(stage(40, micro_batch_tokens=100), model=model)) or 0

    adapter = {"lora": {"r": 2}}
    assert needed(**adapter) - needed(**adapter, freeze_layers=1) == 100 * token
    assert needed(freeze_backbone=True) == needed(**adapter, freeze_layers=1)
    assert needed(freeze_layers=1) == 2000 * 4 + (2000 - BACKBONE / 2) * 12 + 100 * token


def test_sharding_is_read_from_an_accelerate_configuration(tmp_path: Path) -> None:
    file = tmp_path / "zero3.yaml"
    file.write_text("distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 3}\nnum_processes: 2\n", "utf-8")
    assert read_sharding(file) == Sharding(2, 3, "zero3 × 2")
    assert read_sharding(file, 8).processes == 8
    file.write_text("learning_rate: 1\n", "utf-8")
    with pytest.raises(W2SError, match="no accelerate configuration"):
        read_sharding(file)
    with pytest.raises(W2SError, match="cannot be read"):
        read_sharding(tmp_path / "absent.yaml")


def test_the_line_through_two_timings() -> None:
    speed = line((10, 3.0), (30, 7.0))
    assert (speed.fixed, speed.per_pair, speed.seconds(100)) == (1.0, 0.2, 21.0)
    assert line((10, 5.0), (30, 4.0)).per_pair == 0.0


def test_numbers_for_people() -> None:
    numbers = {0: "", 999: "999", 999.7: "1 k", 1234: "1.23 k", 9.9996e8: "1 G", 2e22: "20 Z"}
    assert {value: scaled(value) for value in numbers} == numbers
    assert [duration(value) for value in (3.21, 300, 36000)] == ["3.2 s", "5 min", "10.0 h"]


def test_storage_that_is_not_known_is_null_and_not_zero() -> None:
    """A hub model whose configuration is neither here nor published: nobody knows what its weights weigh."""
    facts = replace(FACTS, spec=ModelSpec(path="nobody/knows"), config={}, parameters=None)
    untrained = replace(stage(40), model=facts, parts=())
    assert _storage(untrained) is None
    cost = Cost("model", "knows", "base", Work(), None, None, None, None)
    assert totals([cost])["storage"] is None
    assert totals([cost, replace(cost, storage=40.0)])["storage"] == 40.0
    assert totals([])["storage"] is None


def test_sizes_keep_a_digit_behind_the_point(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w2s_pref.planning.plan.training_memory", lambda stage: 1_400_000_000)
    console = Console(width=200, record=True)
    show_plan(open_for_plan(study / "tiny.yaml", []), console, every=True)
    text = console.export_text()
    assert "peak training memory about 1.4 GB (estimate)" in text
    assert " 1.4 GB " in text.split("peak")[0]
    assert scaled(1_400_000_000, "B") == "1.4 GB"
    assert scaled(140_000_000_000, "B") == "140 GB"


def test_the_plan_is_a_summary_of_twenty_lines(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_for_plan(study / "tiny.yaml", ["models.strong.path=nobody/here"])

    def printed(many: int, every: bool = False) -> str:
        warnings = [f"number {number}: " + "something to attend to, " * 12 for number in range(many)]
        monkeypatch.setattr("w2s_pref.planning.plan.warnings_of", lambda opened: warnings)
        console = Console(width=80, record=True)
        show_plan(opened, console, every)
        return console.export_text()

    for many in (0, 1, 2, 3, 9, 40):
        text = printed(many)
        assert text.count("\n") <= 20
        assert "every stage: --all" in text
        assert ("more to attend to" in text) == (many > 3)
    assert " model                     20       1,152" in text
    assert "model: ceiling/weak" not in text
    whole = printed(40, every=True)
    assert whole.count("model: ceiling/weak") == 2  # two seeds
    assert "number 39" in whole


def test_a_recipe_is_calibrated_and_compared_with_its_run(study: Path) -> None:
    small = ["seeds=[0]", "conflict.settings=[none]", "arms={direct: [weak, strong]}"]
    run(study / "tiny.yaml", small, Silent(), "w2s run")
    opened = open_for_plan(study / "tiny.yaml", small)
    estimator = Estimator(opened, calibrate=True)
    sums = totals(estimator.costs())
    assert sums["compared_stages"] == sum(cost.seconds is not None for cost in estimator.costs()) > 0
    assert 0.05 < sums["compared_estimate"] / sums["compared_measured"] < 20
    assert sums["error"] == pytest.approx(sums["compared_estimate"] / sums["compared_measured"] - 1)
    assert sums["flops"] > 0
    assert sums["generated_tokens"] == 0
    console = Console(width=200, record=True)
    show_costs(estimator, console)
    assert f"{sums['compared_stages']} stages stand in the store" in console.export_text()
    assert json.loads(json.dumps(costs_as_json(estimator)))["totals"]["flops"] == sums["flops"]


def test_models_of_one_path_have_lines_of_their_own_names_whole_in_eighty_columns(study: Path) -> None:
    """The weak model is made from the strong one's folder; nothing was timed, so no column of times takes room."""
    weak = "models.weak={path: large, from_config: {hidden_size: 16, intermediate_size: 16}}"
    opened = open_for_plan(study / "tiny.yaml", [weak, "arms={direct: [weak, strong]}"])
    named = {cost.model for cost in Estimator(opened).costs()}
    assert {"weak", "strong"} <= named <= {"weak", "strong", ""}
    console = Console(width=80, record=True)
    show_costs(Estimator(opened), console)
    head, *lines = console.export_text().splitlines()[1:]
    assert head.split() == ["stages", "model", "tokens", "FLOPs", "memory", "storage"]
    assert [line.split()[1] for line in lines if line.split()[0] == "model"] == ["strong", "weak"]


def test_a_device_that_is_not_here_is_its_peak_times_its_mfu(study: Path) -> None:
    costs = Estimator(open_for_plan(study / "tiny.yaml", []), device=Device(1e12, 0.5)).costs()
    assert all(cost.seconds == pytest.approx(cost.work.flops / 0.5e12) for cost in costs)


def test_a_plan_reads_of_what_stands_its_manifest_alone(study: Path) -> None:
    """A store at a URL would send every file, and what is damaged would be set aside by a plan."""
    opened = open_for_plan(study / "tiny.yaml", [])
    opened.store = SimpleNamespace(meta=lambda kind, key: {"seconds": 2.0} if kind == "model" else None)
    costs = Estimator(opened).costs()
    assert {(cost.kind == "model", cost.measured) for cost in costs} == {(True, 2.0), (False, None)}


def test_a_calibration_opens_what_it_saved_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the model's own code, where the recipe lets it run."""
    opened: list[bool] = []

    def saved(folder: Path, trust_remote_code: bool = False) -> tuple[None, None]:
        opened.append(trust_remote_code)
        return None, None

    for name in ("load.load_base", "policies.load_policy"):
        monkeypatch.setattr(f"w2s_pref.models.{name}", lambda *given: (None, None))
    for name in ("load.load_saved", "policies.load_saved_policy"):
        monkeypatch.setattr(f"w2s_pref.models.{name}", saved)
    for name in ("training.fit.fit", "training.policy.fit_policy"):
        monkeypatch.setattr(f"w2s_pref.{name}", lambda *given: None)
    for name in ("score_pairs", "logprob_pairs"):
        monkeypatch.setattr(f"w2s_pref.models.scoring.{name}", lambda *given, **tokens: None)
    bench = Bench(ModelSpec(path="x", trust_remote_code=True), Path(), rows("pairs", 4).frame, TOKENS)
    nothing = SimpleNamespace(ids=[], a_ids=[], b_ids=[], a_starts=[], b_starts=[])
    monkeypatch.setattr(bench, "_tokenized", lambda tokenizer, rows: (nothing, {}))
    bench.reward_training({**DEFAULTS, "batch_size": 4})
    bench.policy_training({**DEFAULTS, "batch_size": 4})
    assert opened == [True] * 6


def items(name: str, n: int) -> Rows:
    """Items of a task, of one text each."""
    return Rows(name, rows(name, n).frame.assign(form="item", prompt="x"))


def test_a_laboratory_reads_every_text_once_for_its_probes_and_trains_whole_models() -> None:
    """By hand: items of 10 tokens; 2 epochs of 3 passes over 16 items, 2 looks an epoch at 4, 3 answers to 30."""
    from w2s_pref.models.shapes import shape

    size, tokens = Lengths(10.0, 0.0, 0.0, 10.0), {"max_length": 64, "overlong": "truncate"}
    known = shape(FACTS)
    assert known is not None
    each = 2.0 * BACKBONE + 4.0 * 2 * 8 * 10  # FLOPs of a token
    read = ActivationStage("a", FACTS, items("all", 50), None, tokens)
    assert work(read, known, size) == Work(50, 0.0, 500.0, 0.0, 500 * each)
    assert _storage(read) == 50 * 8 * 4
    given = {"batch_size": 8, "num_train_epochs": 2}
    split = Split(items("train", 16), items("validation", 4), "truth")
    tuned = FinetuneStage("f", items("on", 30), split, FACTS, 0, given, "zeros", {}, given, tokens)
    scored = (2 * 2 * 4 + 3 * 30) * 10
    assert work(tuned, known, size) == Work(32, 320.0, scored, 0.0, (3 * 320 + scored) * each)
    assert training_memory(tuned) == training_memory(stage(16, batch_size=4))  # of a pair two texts
    assert _storage(tuned) == 30 * 40
    assert _storage(replace(tuned, keep=True)) == 2000 * 4
    shown = PromptStage("p", items("on", 30), split, FACTS, 0, {"shots": 2}, tokens)
    assert work(shown, known, size).scored == 30 * 30
    assert assumed(64, items=True) == Lengths(64.0, 0.0, 0.0, 64.0, measured=False)


def test_evaluations_are_counted_as_the_training_makes_them() -> None:
    from w2s_pref.planning.cost import classifiers as planned
    from w2s_pref.training import selection

    assert planned.POINTS == selection.POINTS


def test_what_is_read_behind_frozen_layers_spares_layers_and_no_vocabulary() -> None:
    """One of two layers frozen: half the layers' FLOPs, every logit. By hand: 80 passes over an answer of 60 tokens."""
    from w2s_pref.models.shapes import shape

    given = {**DEFAULTS, "batch_size": 8, "num_train_epochs": 2}
    frozen = replace(FACTS, spec=ModelSpec(path="x", freeze_layers=1))
    part = Part(rows("w2s", 40), "truth")
    policy = PairPolicyStage(
        "p", StartStage("s", frozen, 0), None, 0, given, given, TOKENS, (part,), (), {"name": "sft"}
    )
    each = 2 * BACKBONE + 4 * 2 * 8 * 210
    assert work(policy, shape(FACTS), assumed(None)).flops == 3 * (80 * 210 * each / 2 + 80 * 60 * 2 * 8 * 32)


def test_lengths_without_a_prompt_are_those_of_the_texts(original: Path) -> None:
    """Language modelling on a task's texts: no prompt, the text as the preferred answer, one token as the other."""
    told = " ".join(["w1", "w2", "w3", "yes", "w5"] * 4)
    frame = rows("texts", 3).frame.assign(a=told, b=".", truth=1)
    facts = ModelFacts(ModelSpec(path=str(original / "small")), original / "small", None, CONFIG, "h", "t", None)
    found = lengths(frame, facts, {"max_length": 64, "overlong": "truncate"})
    assert found == Lengths(1.0, 21.0, 20.0, 23.0)  # the prompt is a token of its own, which both texts read
    assert lengths(frame.assign(a="id", b=""), facts, {"max_length": 64, "overlong": "truncate"}).measured is False
