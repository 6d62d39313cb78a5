"""Several supervisors and two stages in a whole study, by hand from its own tables; and what a plan refuses of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.models.load import load_saved
from w2s_pref.models.scoring import score_pairs
from w2s_pref.stages.labels import LabelStage
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.run import open_recipe, run

STUDY = [
    "seeds=[0]", "conflict.settings=[none]", "data.splits.calibration=16", "training.save_steps=100",
    "arms={direct: [weak, strong], pooled: [[weak, middle], strong@weighed], two: [weak, strong@two],"
    " stopped: [weak, strong@stopped], mean: [[weak, middle], strong], still: [[weak, middle], strong@still],"
    " raven: [[weak, middle], strong@raven], argued: [argued, strong], checked: [checked, strong]}",
    "supervisors={argued: {judge: weak, arguers: middle, protocol: critique, max_new_tokens: 2},"
    " checked: {judge: 'labels:judge.py:score', arguers: middle, protocol: critique, max_new_tokens: 2}}",
    "methods={weighed: {algorithm: reward, labels: {combine: accuracy}},"
    " two: {algorithm: reward, labels: {two_stage: true, threshold: 0.502}},"
    " stopped: {algorithm: reward, patience: 2},"
    " still: {algorithm: reward, raven: {rate: 0.0, easy: 0.0}}, raven: {algorithm: reward, raven: {rate: 5.0}}}",
]  # fmt: skip
JUDGE = "def score(pairs):\n    return pairs.a.str.len() / (pairs.a.str.len() + pairs.b.str.len())\n"


class Silent:
    """Shows nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *_, **__: None


def sigmoid(table: pd.DataFrame) -> pd.Series:
    table = table.set_index("id")
    return 1 / (1 + np.exp(table["score_b"] - table["score_a"]))


def test_pooled_and_two_stage_labels_are_those_by_hand(study: Path) -> None:
    Path("judge.py").write_text(JUDGE)
    _, folder = run(Path("tiny.yaml"), STUDY, Silent(), "w2s run")
    opened = open_recipe(Path("tiny.yaml"), STUDY)
    stages = {(stage.kind, stage.name): stage for stage in all_stages(opened.study)}
    store = Path("runs/store")

    def table(kind: str, name: str) -> pd.DataFrame:
        stage = stages[kind, f"{name} · seed 0"]
        return pd.read_parquet(store / kind / stage.key / "table.parquet")

    members = [sigmoid(table("scores", f"ceiling/{name} on w2s")) for name in ("weak", "middle")]
    pooled = opened.study.labels["pooled/hop1", 0].scores
    shares = json.loads((store / "scores" / pooled.key / "manifest.json").read_text())["meta"]["accuracies"]
    labels = table("labels", "pooled/hop1 by ceiling/accuracy(weak, middle)").set_index("id")
    weak, middle = (each.loc[labels.index] for each in members)
    by_hand = (shares[0] * weak + shares[1] * middle) / sum(shares)
    assert all(share * 16 == round(share * 16) for share in shares)
    np.testing.assert_allclose(labels["p"], by_hand)
    np.testing.assert_allclose(labels["spread"], (weak - middle).abs() / 2, atol=1e-15)

    sure = np.maximum(weak, 1 - weak) >= 0.502
    first = sigmoid(table("scores", "two/hop1.first on w2s")).loc[labels.index]
    also = np.maximum(first, 1 - first) >= 0.502
    key = opened.study.labels["two/hop1", 0].key
    union = pd.read_parquet(store / "labels" / key / "table.parquet").set_index("id").loc[labels.index]
    assert union["keep"].tolist() == (sure | also).tolist()
    np.testing.assert_allclose(union["p"], np.where(sure, weak, first))

    stopped = opened.study.trained["stopped/none", 0]
    meta = json.loads((store / "model" / stopped.key / "manifest.json").read_text())["meta"]
    curve = [point["weak_agreement"] for point in meta["selection"]["curve"]]
    best = curve.index(max(curve))
    assert meta["selection"]["step"] == meta["selection"]["curve"][best]["step"]
    assert meta["steps"] == 6 or len(curve) == best + 3  # 48 pairs by 8, or two looks in vain
    held = opened.study.rows["calibration"].frame
    scored = sigmoid(score_pairs(*load_saved(store / "model" / stopped.key, False), held, 32)).loc[held["id"]]
    judged = sigmoid(pd.read_parquet(store / "scores" / stopped.stop.labels.scores.key / "table.parquet"))
    assert ((scored > 0.5) == (judged.loc[held["id"]] > 0.5)).mean() == pytest.approx(max(curve))

    # weights that stay equal are the mean; those that are learned stay on the simplex
    mean, still = (table("scores", f"{arm}/none on test") for arm in ("mean", "still"))
    pd.testing.assert_frame_equal(mean, still, rtol=1e-4, atol=1e-5)
    raven = json.loads((store / "model" / opened.study.trained["raven/none", 0].key / "manifest.json").read_text())
    weights = np.array(raven["meta"]["supervisor_weights"])
    assert weights.shape == (1, 2)  # one epoch
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert (np.abs(weights - 0.5) > 1e-6).all()

    results = json.loads((folder / "results.json").read_text())
    learned = {one["arm"]: one for one in results["supervisor_weights"]}
    assert learned["still"]["weights"] == [0.5, 0.5]
    assert (learned["raven"]["supervisors"], learned["raven"]["weights"]) == (["weak", "middle"], weights[0].tolist())
    thirds = results["supervisor_spread"]
    assert [one["third"] for one in thirds if one["arm"] == "pooled"] == ["agree", "between", "disagree"]
    assert thirds[0]["spread"] < thirds[1]["spread"] < thirds[2]["spread"]
    whole = results["arms"][1]["settings"][0]["performance"]["accuracy"]["estimate"]
    parts = [one["students"][0]["accuracy"]["estimate"] for one in thirds[:3]]
    assert np.average(parts, weights=[22, 21, 21]) == pytest.approx(whole)  # 64 test items in three parts
    compared = {(one["first"], one["second"], one["metric"]) for one in results["comparisons"]}
    assert ("direct", "two", "pgr") in compared
    assert ("direct", "pooled", "accuracy") in compared
    assert ("direct", "pooled", "pgr") not in compared
    report = (folder / "report.html").read_text()
    assert "Where supervisors disagree" in report

    # what two stages cost: the student, and before it the weak model, the first student, and what both scored
    def spent(kind: str, name: str, what: str) -> float:
        manifest = json.loads((store / kind / stages[kind, f"{name} · seed 0"].key / "manifest.json").read_text())
        return float(manifest["meta"][what])

    costs = {one["arm"]: one for one in results["costs"]}
    assert list(costs) == [arm["name"] for arm in results["arms"]]
    used = [("model", "two/hop1.first"), ("model", "ceiling/weak"), ("scores", "ceiling/weak on w2s"),
            ("scores", "two/hop1.first on w2s")]  # fmt: skip
    assert costs["two"]["student_tokens"] == spent("model", "two/none", "computed_tokens")
    assert costs["two"]["supervision_tokens"] == sum(spent(*each, "computed_tokens") for each in used)
    assert costs["two"]["seconds"] > spent("model", "two/none", "seconds") + spent(*used[0], "seconds")
    assert costs["two"]["written_tokens"] == 0
    assert costs["checked"]["written_tokens"] == 48 * 2 * 2  # both sides of every pair, two tokens each
    assert costs["argued"]["written_tokens"] == 2 * 48 * 2 * 2  # of gt, too, which the judge is trained on
    assert costs["pooled"]["supervision_tokens"] > costs["direct"]["supervision_tokens"]
    assert "What each way of supervising costs" in report
    assert "Weights over supervisors" in report

    # both judges read the same arguments, which stand before the pairs; one was trained with them
    argued, checked = (opened.study.labels[f"{name}/hop1", 0].scores for name in ("argued", "checked"))
    arguments = pd.read_parquet(store / "arguments" / argued.inputs["arguments"].key / "table.parquet").set_index("id")
    assert argued.inputs["arguments"].key == checked.inputs["arguments"].key
    frame = opened.study.rows["w2s"].frame.set_index("id")
    said = {side: "Critique: " + arguments[side] + "\n\n" for side in ("a", "b")}
    whole = {side: said[side] + frame["prompt"] + frame[side] for side in said}
    told = frame.assign(prompt="", **whole).reset_index()
    weak_judge = load_saved(store / "model" / opened.study.trained["judge/argued", 0].key, False)
    by_hand = score_pairs(*weak_judge, told, 32).set_index("id")
    found = pd.read_parquet(store / "scores" / argued.key / "table.parquet").set_index("id")
    np.testing.assert_allclose(found, by_hand.loc[found.index], atol=1e-4)
    p = sigmoid(pd.read_parquet(store / "scores" / checked.key / "table.parquet"))
    np.testing.assert_allclose(p, told["a"].str.len() / (told["a"].str.len() + told["b"].str.len()), atol=1e-6)

    one, other = results["argument_effects"]
    assert (one["supervisor"], one["judge"], one["protocol"]) == ("argued", "weak", "critique")
    assert one["naive"] == results["ceilings"]["weak"]["accuracy"]
    assert one["argued"] == results["ceilings"]["argued"]["accuracy"]
    assert one["gain"]["estimate"] == pytest.approx(one["argued"]["estimate"] - one["naive"]["estimate"])
    beyond = one["gain"]["estimate"] - one["shuffled_gain"]["estimate"]
    assert one["beyond_shuffled"]["estimate"] == pytest.approx(beyond)
    assert other["naive"]["estimate"] != one["naive"]["estimate"]
    assert ("direct", "argued", "accuracy") in compared
    assert "Judges of arguments" in report


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("arms={a: [[weak, weak], strong]}", "'weak' stands twice among the supervisors"),
        ("arms={a: [[weak], strong]}", r"a list pools several supervisors, but \[weak\] has one; write weak"),
        ("arms={a: [[], strong]}", "an empty list names no supervisor"),
        ("arms={a: [weak, [middle, strong]]}", "the last place is the student, which is one model"),
        ("arms={a: [[weak, midle], strong]}", "no model is called 'midle'; did you mean 'middle'"),
        ("arms={a: [[weak, strong], strong]}", "each once"),
        ("arms={a: [[weak, [middle]], strong]}", "should be text"),
        ("supervisors={weak: {judge: weak, arguers: weak}}", "'weak' is a model, too"),
        ("supervisors={s: {judge: weak}}", "debate needs somebody who speaks; name a model, or templated"),
        ("supervisors={s: {judge: week, arguers: weak}}", "no model is called 'week'"),
        ("supervisors={s: {judge: weak, arguers: week}}", "no model is called 'week'"),
        ("supervisors={s: {judge: weak@dpo, arguers: weak}}", "a judge is a reward model, or MODEL@prompted"),
        ("supervisors={s: {judge: 'labels:p.csv', arguers: weak}}", "is a file, which reads no transcripts"),
        ("supervisors={s: {judge: weak, arguers: weak, honest: 1}}", "honest: not read by protocol debate"),
        ("supervisors={s: {judge: weak, arguers: weak, protocol: critique, turns: 2}}", "turns: not read by"),
        ("supervisors={s: {judge: weak, protocol: naive, transcripts: blank}}", "transcripts: not read by"),
        ("arms={a: [weak, s, strong]}", "no model is called 's'"),
        ("labels.combine=meen", "unknown combination 'meen'; did you mean 'mean'"),
        ("labels={two_stage: true, filter: high_confidence}", "two_stage keeps confident labels itself; drop filter"),
        ("methods={rloo: {labels: {two_stage: true}}}", "rloo does not read it"),
    ],
)  # fmt: skip
def test_a_plan_refuses(study: Path, override: str, sentence: str) -> None:
    with pytest.raises(W2SError, match=sentence):
        open_recipe(Path("tiny.yaml"), [override], planning=True)


ARGUED = "supervisors={s: {judge: weak, arguers: weak, max_new_tokens: 2}}"
POOL = "arms={a: [[weak, middle], strong]}"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([POOL, "labels.combine=accuracy"], "a combination that goes by accuracy does; give data.splits.calibration"),
        ([POOL, "labels.combine=dawid_skene"], "needs 3 of them"),
        (["methods={m: {algorithm: reward, raven: {}}}", "students=[m]"], "several supervisors, but weak is one"),
        (
            [POOL, "methods={m: {algorithm: reward, raven: {}, loss: {name: kl}}}", "students=[m]"],
            "that of loss soft_bce in one stage",
        ),
        ([POOL, "methods={m: {algorithm: reward, raven: {}, labels: hard}}", "students=[m]"], "not labels.form hard"),
        ([POOL, "labels.refine={by: strong}", "methods={m: {algorithm: reward, raven: {}}}", "students=[m]"], "refine"),
        (
            ["labels.refine={by: strong}", "arms={a: [weak@dpo, strong@eft]}", "conflict.settings=[none]"],
            "labels.refine: eft does not learn from",
        ),
        ([ARGUED, "arms={a: [s, strong]}", "students=[rloo]", "conflict.settings=[none]"], "which s cannot give"),
        (
            ["supervisors={s: {judge: weak, arguers: weak, turns: 3}}", "arms={a: [s, strong]}"],
            r"a transcript may have 384 tokens \(2 × 3 × max_new_tokens 64\), which leaves the judge no room",
        ),
        (
            ["supervisors={s: {judge: 'labels:judge.py:score', arguers: weak, max_new_tokens: 250}}",
             "arms={a: [s, strong]}"],
            "'weak' cannot write arguments of 250 tokens: its context of 256 holds question",
        ),
        (
            ["models.again={path: small}", "arms={a: [[weak, again], strong]}"],
            r"weak and again of mean\(weak, again\) are one supervisor under two names",
        ),
        (
            ["supervisors={s: {judge: weak, protocol: naive}}", "arms={a: [[weak, s], strong]}"],
            "weak and s of .* whose vote would count twice",
        ),
        (["supervisors={s: {judge: weak, arguers: templated}}", "arms={a: [s, strong]}"], "facts of the testbed alone"),
        (["methods={m: {algorithm: reward, patience: 2}}", "students=[m]"], "methods.m.patience: .* give data.splits"),
        ([POOL, "students=[rloo]", "conflict.settings=[none]"], r"mean\(weak, middle\) cannot give: it labels pairs"),
        (
            ["arms={a: [weak, [middle@m, third], strong]}", "models.third={path: medium}",
             "methods={m: {algorithm: reward, labels: hard}}"],
            "learn the same labels",
        ),
        (
            ["arms={a: [[weak, 'labels:judge.csv'], strong]}"],
            "labels:judge.csv has no p for",
        ),
    ],
)  # fmt: skip
def test_a_plan_refuses_what_does_not_go_together(study: Path, overrides: list[str], sentence: str) -> None:
    (study / "judge.csv").write_text("id,p\n1,0.5\n")
    (study / "judge.py").write_text(JUDGE)
    with pytest.raises(W2SError, match=sentence):
        open_recipe(Path("tiny.yaml"), overrides, planning=True)


def test_supervisors_in_the_middle_and_policies_pool_too(study: Path) -> None:
    arms = "arms={a: [weak, [middle, third@dpo], strong@dpo]}"
    more = ["seeds=[0]", "models.third={path: medium}", "conflict.settings=[none]", "speech.prompts=0"]
    calibrated = ["labels.calibrate=true", "data.splits.calibration=16"]
    opened = open_recipe(Path("tiny.yaml"), [arms, *more, *calibrated])
    labels = opened.study.labels["a/hop2", 0]
    assert isinstance(labels, LabelStage)
    assert labels.calibration is None  # each supervisor is calibrated by itself
    assert [member.name for member in labels.scores.inputs.values()] == [
        "a/hop1.1 on w2s · seed 0", "a/hop1.2 on w2s · seed 0",
        "a/hop1.1 on calibration · seed 0", "a/hop1.2 on calibration · seed 0",
    ]  # fmt: skip
    assert [member.form for member in labels.scores.members] == ["reward_model", "implicit_reward"]
