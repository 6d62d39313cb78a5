"""A whole laboratory of tiny models: tables, hits, what is trained together, and that labels never see ground truth."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from lab_helpers import TUNED, laboratory, make_items, write_lab

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.store import Store
from w2s_pref.results.lab import LabBody
from w2s_pref.stages.labels import LabelStage
from w2s_pref.studies.generalization.answers import SELECTIONS, Classified, sigmoid
from w2s_pref.studies.generalization.labels import AlteredLabels, ChosenStage
from w2s_pref.studies.generalization.probes import ProbeStage
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.run import build, run

STUDIES = [
    "seeds=[0]",
    "chains=[[weak, middle, strong], [[weak, middle], strong]]",
    "ladder=[weak, strong]",
    TUNED,
    "methods.two={algorithm: probe, training: {epochs: 6, batch_size: 16}, two_stage: true, threshold: 0.55}",
    "methods.paid={algorithm: probe, training: {epochs: 6, batch_size: 16}, ground_truth: 7}",
    "methods.many={algorithm: probe, training: {epochs: 6, batch_size: 16}, ensemble: 2}",
    "methods.shown={algorithm: prompt, shots: 2}",
    "methods.texts={algorithm: finetune, training: {batch_size: 8}, pre: {training: {batch_size: 8}}}",
    "studies={imitation: {}, easy_to_hard: {share: 0.5}, truncated: {components: [2]}, noise: {},"
    " saliency: {probe: naive, finetune: tuned, chains: [[weak, strong]]}}",
]


class Silent:
    """Counts what was built."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def stage(self, number: int, total: int, stage: Any, event: str, seconds: float) -> None:
        self.events.append((event, stage.kind))

    def step(self, done: int, total: int) -> None:
        pass

    def signal(self, step: int, signals: dict[str, float]) -> None:
        pass

    def wait(self, sentence: str) -> None:
        raise AssertionError(sentence)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of a laboratory that was run with every study."""
    recipe = write_lab(tmp_path_factory.mktemp("lab"))
    run(recipe, STUDIES, Silent(), "w2s run")
    return recipe


def store(recipe: Path) -> Store:
    return Store(recipe.parent / "runs" / "store")


def table(recipe: Path, stage: Any, name: str = "table") -> pd.DataFrame:
    artifact = store(recipe).get(stage.kind, stage.key)
    assert artifact is not None
    return pd.read_parquet(artifact.folder / f"{name}.parquet")


def test_every_cell_is_answered_by_everybody(done: Path) -> None:
    folder = done.parent / "runs" / "lab"
    predictions, cells = (pd.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "cells"))
    assert set(cells["study"]) == {"grid", "imitation", "easy_to_hard", "truncated", "noise", "saliency"}
    test = predictions[predictions["split"] == "test"]
    answered = test.groupby("name", observed=True)["id"].nunique()
    for column in ("weak", "student", "ceiling"):
        assert (answered.loc[cells[column]] == 40).all()
    students = cells.loc[cells["study"] == "grid", "student"]
    assert (answered.loc[[f"{name}#{each}" for name in students for each in SELECTIONS]] == 40).all()
    assert predictions["p"].between(0, 1).all()
    assert {path.name for path in folder.iterdir()} >= {"results.json", "generalization.json", "curves.parquet"}
    pages = {path.stem.removeprefix("report-") for path in folder.glob("*.html")}
    assert pages >= {"report", "confidence", "overfitting", *set(cells["study"]) - {"grid"}}


def test_the_same_command_again_builds_nothing(done: Path) -> None:
    display = Silent()
    run(done, STUDIES, display, "w2s run")
    assert {event for event, _ in display.events} == {"hit"}


def test_tables_say_what_the_checkpoints_answer(done: Path) -> None:
    """The unmarked name is the recipe's selection; best_weak has the best agreement of the curve."""
    lab = laboratory(done, *STUDIES)
    predictions = pd.read_parquet(done.parent / "runs" / "lab" / "predictions.parquet")
    test = predictions[predictions["split"] == "test"]
    for name in ("student/weak>strong@naive", "student/weak>strong@tuned"):
        stage = lab.named["words", name, 0]
        answers, curve = table(done, stage).set_index("id"), table(done, stage, "curve")
        ids = test.loc[test["name"] == name, "id"]
        np.testing.assert_allclose(test.loc[test["name"] == name, "p"], sigmoid(answers.loc[ids, "final"]))
        labels = table(done, stage.split.labels).set_index("id")["p"]
        validation = stage.split.validation.frame["id"]
        agrees = (answers.loc[validation, "best_weak"] > 0).eq(labels.loc[validation] >= 0.5).mean()
        assert agrees == pytest.approx(curve["weak_agreement"].max())


def test_probes_trained_together_come_out_as_alone(done: Path, tmp_path: Path) -> None:
    recipe = tmp_path / done.name
    shutil.copytree(done.parent, tmp_path, dirs_exist_ok=True)
    lab = laboratory(recipe, *STUDIES, f"output={tmp_path / 'runs'}")
    stage = lab.named["words", "student/weak>strong@confidence", 0]
    assert isinstance(stage, ProbeStage)
    assert len(stage.batches[stage.together]) > 3
    meta = store(done).get(stage.kind, stage.key)
    assert meta is not None
    together = table(done, stage)
    for kept in (recipe.parent / "runs" / "store" / "probe").iterdir():
        if kept.name == stage.key:
            shutil.rmtree(kept)
    display = Silent()
    run(recipe, [*STUDIES, f"output={tmp_path / 'runs'}"], display, "w2s run")
    assert [kind for event, kind in display.events if event == "done"] == ["probe"]  # nothing else was built again
    pd.testing.assert_frame_equal(table(recipe, stage), together, rtol=1e-9, atol=1e-9)


def test_a_killed_batch_loses_nothing_finished(done: Path) -> None:
    """Every probe of a batch is an artifact of its own, with its share of the time."""
    lab = laboratory(done, *STUDIES)
    for stage in lab.named.values():
        artifact = store(done).get(stage.kind, stage.key)
        assert artifact is not None
        assert artifact.meta["seconds"] > 0
        assert artifact.manifest["payload"] == stage.payload


def test_labels_and_students_do_not_see_the_truth_of_half_b(done: Path, tmp_path: Path) -> None:
    """The same laboratory with the labels of half B shuffled: only ceilings differ, to the last bit."""
    other = write_lab(tmp_path)
    quick = ["seeds=[0]", "ladder=[weak, strong]", *[text for text in STUDIES if "two=" in text or "many=" in text]]
    half = laboratory(other).tasks["words"]["w2s"].frame["prompt"]
    items = make_items(200)
    shuffled = items.assign(label=np.where(items["text"].isin(half), 1 - items["label"], items["label"]))
    run(other, [*quick, "studies.imitation={}"], Silent(), "w2s run")
    before = {key: table(other, stage) for key, stage in students(other, quick).items()}
    shuffled.to_csv(tmp_path / "words.csv", index=False)
    run(other, [*quick, "studies.imitation={}"], Silent(), "w2s run")
    after = {key: table(other, stage) for key, stage in students(other, quick).items()}
    assert {name.split("/")[0] for _, name, _ in before} == {"floor", "student", "imitation", "ceiling"}
    for key, frame in before.items():
        same = after[key].set_index("id").loc[frame["id"]].reset_index()
        assert same.equals(frame) == (not key[1].startswith("ceiling"))


def students(recipe: Path, overrides: list[str]) -> dict[tuple[str, str, int], Classified]:
    return laboratory(recipe, *overrides, "studies.imitation={}").named


def test_label_rules_do_what_they_say(done: Path) -> None:
    lab = laboratory(done, *STUDIES)
    altered = [stage for stage in all_stages(lab) if isinstance(stage, AlteredLabels)]
    assert {stage.rule for stage in altered} == {"budget", "two_stage", "easy", "part", "noise"}
    errors = set()
    for stage in altered:
        after = table(done, stage).set_index("id")
        own = after.loc[stage.on.frame["id"]]
        truth = stage.on.frame.set_index("id")["truth"]
        wrong = int(((own["p"] >= 0.5) != (truth == 1)).sum())
        if stage.rule in {"easy", "part"}:
            assert (wrong, own["keep"].sum(), truth[own["keep"]].mean()) == (0, 20, 0.5)
        if stage.labels is None:
            continue
        before = table(done, stage.labels).set_index("id")
        rest = before.index.difference(own.index)
        pd.testing.assert_frame_equal(after.loc[rest], before.loc[rest])
        if stage.rule == "budget":
            assert (own["p"].isin([0.0, 1.0]) & (own["p"] == truth)).sum() >= 7
            assert (own["p"] != before.loc[own.index, "p"]).sum() <= 7
        if stage.rule == "two_stage":
            assert own["keep"].sum() >= before.loc[own.index, "keep"].sum()
        if stage.rule == "noise" and "weak>strong" in stage.name:
            errors.add(wrong)
    assert len(errors) == 1


def test_generative_fine_tuning_serves_student_and_ceiling(done: Path) -> None:
    """One stage, keyed by the texts alone: weak labels and ground truth follow it, and neither is in it."""
    lab = laboratory(done, *STUDIES)
    pres = [lab.named["words", f"{name}@texts", 0].pre for name in ("student/weak>strong", "ceiling/strong")]  # type: ignore[attr-defined]
    assert pres[0].key == pres[1].key
    history = store(done).get(pres[0].kind, pres[0].key)
    assert history is not None
    assert history.meta["pairs"] == 40


def test_the_ensemble_is_the_mean_probability(done: Path) -> None:
    lab = laboratory(done, *STUDIES)
    labels = lab.named["words", "student/weak>strong@many", 0].split.labels
    assert isinstance(labels, LabelStage)
    p = [sigmoid(table(done, model)["final"]) for model in labels.scores.models]  # type: ignore[attr-defined]
    assert len(p) == 2
    assert not np.allclose(p[0], p[1])
    np.testing.assert_allclose(table(done, labels)["p"], np.mean(p, axis=0))
    folder = done.parent / "runs" / "lab"
    written = pd.read_parquet(folder / "labels.parquet")
    written = written.query("task == 'words' and split == 'w2s' and name == 'student/weak>strong@many'")
    spread = pd.Series(np.abs(p[0] - p[1]) / 2, index=table(done, labels)["id"])
    np.testing.assert_allclose(written["spread"], spread[written["id"]], atol=1e-12)
    assert "Where supervisors disagree" in (folder / "report.html").read_text()


def test_several_models_in_one_place_supervise_together(done: Path) -> None:
    """Their combined probability is the label, the floor of the table, and what studies start from."""
    lab = laboratory(done, *STUDIES)
    floors = [table(done, lab.named["words", f"floor/{name}@naive", 0]).set_index("id") for name in ("weak", "middle")]
    p = np.mean([sigmoid(each["final"]) for each in floors], axis=0)
    assert not np.allclose(*(each["final"] for each in floors))
    predictions = pd.read_parquet(done.parent / "runs" / "lab" / "predictions.parquet")
    answered = predictions.query("split == 'test' and name == 'floor/mean(weak, middle)@naive'").set_index("id")["p"]
    np.testing.assert_allclose(answered, pd.Series(p, index=floors[0].index)[answered.index])
    labels = lab.named["words", "student/(weak, middle)>strong@naive", 0].split.labels
    assert isinstance(labels, LabelStage)
    np.testing.assert_allclose(table(done, labels)["p"], p)
    cells = [cell for cell in lab.cells if cell["chain"] == "(weak, middle)>strong"]
    assert {cell["study"] for cell in cells} == {"grid", "imitation", "easy_to_hard", "noise"}
    assert {cell["weak"] for cell in cells} == {"floor/mean(weak, middle)@naive"}


def test_several_models_may_stand_in_the_middle(done: Path) -> None:
    """Both learn the weak model's labels; what the last one learns is theirs together."""
    lab = laboratory(done, "chains=[[weak, [middle, strong], last]]", "models.last={path: large}", "ladder=[]",
                     "methods.cast={training: {epochs: 6}, combine: vote}", "students=[cast]", "seeds=[0]")  # fmt: skip
    labels = lab.named["words", "student/weak>(middle, strong)>last@cast", 0].split.labels
    assert isinstance(labels, LabelStage)
    chosen = labels.scores
    assert isinstance(chosen, ChosenStage)
    assert chosen.combine == "vote"
    assert [model.model for model in chosen.models] == [lab.models["middle"], lab.models["strong"]]
    above = {model.split.labels.scores.models[0].key for model in chosen.models}  # type: ignore[union-attr]
    assert above == {lab.named["words", "floor/weak@naive", 0].key}
    with pytest.raises(W2SError, match=r"weak and again of \(weak, again\) are one supervisor under two names"):
        laboratory(done, "models.again={path: small}", "chains=[[[weak, again], strong]]", "ladder=[]")


def test_students_learn_how_much_to_believe_each_supervisor(done: Path) -> None:
    """A probe and a whole model; what they learned is in the results and on the page."""
    quick = ["seeds=[0]", "ladder=[]", "chains=[[[weak, middle], strong]]", "students=[weighed, heard]", "name=raven"]
    probe = "{training: {epochs: 6, batch_size: 16}, raven: {rate: 1.0, easy: 0.2}}"
    whole = "{algorithm: finetune, training: {batch_size: 8, num_train_epochs: 1, learning_rate: 1.0e-3}, raven: {}}"
    run(done, [*quick, f"methods.weighed={probe}", f"methods.heard={whole}"], Silent(), "w2s run")
    folder = done.parent / "runs" / "raven"
    body = LabBody.model_validate_json((folder / "generalization.json").read_text(encoding="utf-8"))
    assert [one.student.rpartition("@")[2] for one in body.supervisor_weights] == ["weighed", "heard"]
    for one in body.supervisor_weights:
        assert one.supervisors == ["floor/weak@naive", "floor/middle@naive"]
        assert sum(one.weights) == pytest.approx(1)
        assert min(one.weights) > 0
        assert one.weights[0] != one.weights[1]
    assert "Weights over supervisors" in (folder / "report.html").read_text()


def test_a_fine_tuning_that_the_launch_cannot_share_is_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    recipe, store, display = write_lab(tmp_path), tmp_path / "store", cast(Any, None)
    with pytest.raises(W2SError, match="effective batch of 8 cannot be shared equally by 3 processes"):
        build(recipe, ["ladder=[weak, strong]", TUNED, f"store={store}"], display)
    assert not store.exists()
