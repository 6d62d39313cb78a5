"""Keys: what changes which stages, and where ground truth is read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from lab_helpers import TUNED, keys, laboratory, write_lab

from w2s_pref.models.info import ModelFacts
from w2s_pref.models.spec import ModelSpec
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.answers import Split
from w2s_pref.studies.generalization.finetune import FinetuneStage, PromptStage
from w2s_pref.studies.generalization.recipe import MethodConfig, Recipe
from w2s_pref.studies.kind import all_stages


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lab(tmp_path_factory.mktemp("lab"))


#: Field → (override, kinds of stages that it adds or changes); everything: all kinds of a lab of probes.
EVERYTHING = {"activations", "probe", "scores", "labels", "analysis"}
CHANGES: dict[str, tuple[str, set[str]]] = {
    "name": ("name=other", set()),
    "output": ("output=elsewhere", set()),
    "store": ("store=elsewhere", set()),
    "processes": ("processes=1", set()),
    "report": ("report.sections=[somewhere:section]", set()),
    "seeds": ("seeds=[0, 1, 2]", {"probe", "scores", "labels", "analysis"}),
    "tasks": ("tasks.words.text=say {text}", EVERYTHING),
    "sizes": ("sizes.test=38", EVERYTHING),
    "data_seed": ("data_seed=1", EVERYTHING),
    "max_length": ("max_length=20", EVERYTHING),
    "models": ("models.strong.path=medium", {"probe", "activations", "analysis"}),
    "ladder": ("ladder=[weak, middle]", {"activations", "probe", "scores", "labels", "analysis"}),
    "chains": ("chains=[[weak, middle, strong]]", {"probe", "scores", "labels", "analysis"}),
    "inputs": ("inputs=split", {"probe", "scores", "labels", "analysis"}),
    "methods": ("methods.confidence.loss.a_max=0.7", {"probe", "analysis"}),
    "supervisor": ("supervisor=plain", {"probe", "scores", "labels", "analysis"}),
    "students": ("students=[naive]", {"probe", "analysis"}),
    "ceiling": ("ceiling=gt", {"probe", "analysis"}),
    "selection": ("selection=best_weak", {"probe", "scores", "labels", "analysis"}),
    "training": ("training.weight_decay=0.1", {"finetune", "analysis"}),
    "studies": ("studies.truncated={components: [2]}", {"probe", "scores", "labels", "analysis"}),
    "analysis": ("analysis.resamples=200", {"analysis"}),
}
TOGETHER = {
    "training": [TUNED],
    "inputs": ["chains=[[weak, middle, strong]]"],
    "supervisor": ["methods.plain={algorithm: probe, training: {epochs: 7}}", "students=[naive]"],
}


def changed(lab: Path, base: list[str], override: str) -> set[str]:
    before, after = keys(lab, *base), keys(lab, *base, override)
    return {name.split("|")[0] for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_every_field_is_covered() -> None:
    assert set(CHANGES) == set(Recipe.model_fields)


@pytest.mark.parametrize("field", CHANGES)
def test_a_field_changes_its_stages_and_no_others(lab: Path, field: str) -> None:
    override, expected = CHANGES[field]
    assert changed(lab, TOGETHER.get(field, []), override) == expected


#: Method field → how a student of it differs from one without; None: covered by a test of its own.
METHOD = {
    "algorithm": "{algorithm: finetune}",
    "head": "{algorithm: finetune, head: normal}",
    "loss": "{loss: {name: kl}}",
    "training": "{training: {epochs: 7}}",
    "patience": "{algorithm: finetune, patience: 3}",
    "pooling": "{pooling: mean}",
    "shots": "{algorithm: prompt, shots: 2}",
    "labels": "{labels: hard}",
    "filter": "{filter: high_confidence}",
    "threshold": "{filter: high_confidence, threshold: 0.6}",
    "two_stage": "{two_stage: true}",
    "ensemble": "{ensemble: 2}",
    "combine": "{ensemble: 2, combine: vote}",
    "raven": "{ensemble: 2, raven: {rate: 0.1}}",
    "ground_truth": "{ground_truth: 4}",
    "pre": "{algorithm: finetune, pre: {training: {learning_rate: 1.0e-3}}}",
}


def test_what_the_calibration_items_change(lab: Path) -> None:
    """They are answered; their truth is read where a combination goes by accuracy, and nowhere else."""
    pool = ["chains=[[[weak, middle], strong]]", "seeds=[0]", "students=[naive, best]", "sizes.calibration=20"]
    found = flipped(
        lab, "calibration", "methods.best={training: {epochs: 6, batch_size: 16}, combine: accuracy}", *pool
    )
    assert {name.split("@")[0] for name in found if "student" in name} == {"probe|student/(weak, middle)>strong"}
    assert not any("@naive" in name and name.startswith("probe") for name in found)
    assert changed(lab, [], "sizes.calibration=20") == EVERYTHING


def test_every_method_field_decides_its_student(lab: Path) -> None:
    assert set(METHOD) == set(MethodConfig.model_fields)
    overrides = [f"methods.{name}={text}" for name, text in METHOD.items()]
    found = laboratory(lab, "methods={plain: {}}", *overrides, "seeds=[0]", "ladder=[weak, strong]")
    students = {name.rpartition("@")[2]: stage.key for (_, name, _), stage in found.named.items() if "student" in name}
    assert set(students) == {"plain", *METHOD}
    assert len(set(students.values())) == len(students)


def test_more_seeds_methods_and_tasks_leave_what_is_there(lab: Path) -> None:
    before = keys(lab)
    more = ["seeds=[0, 1, 2]", "methods.kl={algorithm: probe, loss: {name: kl}}", "studies.truncated={components: [2]}"]
    after = keys(lab, *more)
    assert {name for name in before if after.get(name) != before[name]} == {"analysis|analysis"}
    assert len(after) > len(before)


@pytest.mark.parametrize("own", ["", ", two_stage: true, threshold: 0.6", ", ground_truth: 4", ", ensemble: 2"])
def test_saliency_probes_the_student_of_the_grid(lab: Path, own: str) -> None:
    """Its weights are kept; its labels, and all else, are those of the grid's student, which it stands for."""
    tuned, study = TUNED[:-1] + own + "}", "studies.saliency={probe: naive, finetune: tuned, chains: [[weak, strong]]}"
    place = ("words", "student/weak>strong@tuned", 0)
    plain, kept = (laboratory(lab, tuned, *more).named[place] for more in ([], [study]))
    assert isinstance(kept, FinetuneStage)
    assert (kept.payload.pop("keep"), kept.inputs["labels"].key) == (True, plain.inputs["labels"].key)
    assert {**kept.payload, "keep": False} == plain.payload


def test_activations_are_computed_once(lab: Path) -> None:
    names = [name for name in keys(lab, "studies.truncated={components: [2, 4]}") if name.startswith("activations")]
    assert len(names) == 3


def flipped(lab: Path, split: str, *overrides: str) -> set[str]:
    """Stages whose key notices that the ground truth of a split was shuffled."""
    before = laboratory(lab, *overrides)
    after = laboratory(lab, *overrides)
    rows = after.tasks["words"].splits[split]
    object.__setattr__(rows, "frame", rows.frame.assign(truth=1 - rows.frame["truth"]))
    found = [{f"{s.kind}|{s.name}": s.key for s in all_stages(each)} for each in (before, rebuilt(after))]
    return {name for name in found[0] if found[0][name] != found[1][name]}


def rebuilt(lab):  # type: ignore[no-untyped-def]
    """The same graph over the same task rows, made anew."""
    from w2s_pref.studies.generalization.graph import add_grid
    from w2s_pref.studies.generalization.studies import add_studies
    from w2s_pref.studies.generalization.study import Laboratory, TaskRows

    rows = {name: Rows(each.name, each.frame) for name, each in lab.tasks["words"].splits.items()}
    fresh = Laboratory(lab.recipe, lab.base, lab.models, {"words": TaskRows("words", rows)})
    add_grid(fresh)
    add_studies(fresh)
    return fresh


METHODS = [
    "methods.hard={labels: hard}", "methods.sure={filter: high_confidence}", "methods.two={two_stage: true}",
    "methods.many={ensemble: 2}", TUNED,
    "methods.shown={algorithm: prompt, shots: 2}", "methods.zero={algorithm: prompt}",
    "chains=[[weak, middle, strong]]", "studies.imitation={}", "studies.truncated={components: [2]}", "seeds=[0]",
]  # fmt: skip


def test_the_truth_of_half_b_is_read_by_ceilings_only(lab: Path) -> None:
    found = flipped(lab, "w2s", *METHODS)
    assert found
    assert {name.split("|")[1].split("/")[0] for name in found} == {"ceiling", "analysis"}


def test_the_truth_of_the_test_items_is_read_by_the_analysis_only(lab: Path) -> None:
    assert flipped(lab, "test", *METHODS) == {"analysis|analysis"}


def test_the_truth_of_half_a_decides_every_label(lab: Path) -> None:
    found = flipped(lab, "gt", "seeds=[0]")
    assert {name for name in keys(lab, "seeds=[0]") if name.startswith(("labels", "scores"))} <= found


@pytest.mark.parametrize(
    ("override", "oracles"),
    [
        ("methods.paid={ground_truth: 4}", {"labels|some", "probe|student", "probe|ceiling"}),
        ("methods.oracle={filter: oracle_high_confidence}", {"labels|by", "probe|student", "probe|ceiling"}),
        ("studies.easy_to_hard={}", {"labels|easy", "labels|random", "probe|easy", "probe|random"}),
        ("studies.noise={}", {"labels|", "probe|noise", "scores|ceiling"}),
    ],
)
def test_where_a_setting_says_so_students_read_it(lab: Path, override: str, oracles: set[str]) -> None:
    plain, found = flipped(lab, "w2s", "seeds=[0]"), flipped(lab, "w2s", "seeds=[0]", override)
    more = found - plain
    assert more
    assert [name for name in more if not name.startswith(tuple(oracles))] == []


def test_no_group_is_in_two_splits(lab: Path) -> None:
    splits = laboratory(lab).tasks["words"].splits
    groups = pd.concat([rows.frame.assign(split=name) for name, rows in splits.items()]).groupby("group")["split"]
    assert groups.nunique().max() == 1


def test_seeds_that_draw_a_prompted_models_weights_are_in_its_key() -> None:
    """Without examples no label and no coin is read, so that seeds share the answers of weights that are read."""
    items = Rows("all", pd.DataFrame({"id": ["1"], "form": "item", "prompt": "x", "a": "", "b": "", "truth": 1}))
    split, tokens = Split(items, items, "truth"), {"max_length": 64, "overlong": "truncate"}

    def shared(spec: ModelSpec) -> bool:
        facts = ModelFacts(spec, None, None, {}, "h", "t", None)
        first, second = (PromptStage("p", items, split, facts, seed, {"shots": 0}, tokens).key for seed in (0, 1))
        return first == second

    assert shared(ModelSpec(path="x"))
    assert not shared(ModelSpec(path="x", from_config={"hidden_size": 16}))
