"""The recipe: what it refuses, and with which sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_helpers import laboratory, write_lab

from w2s_pref.core.errors import W2SError


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lab(tmp_path_factory.mktemp("lab"))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seed=[1]", "unknown key 'seed'; did you mean 'seeds'"),
        ("seeds=[1, 1]", "a seed stands twice"),
        ("methods.naive.threshold=0.9", "threshold: only filter and two_stage read it, and there is neither; drop it"),
        ("sizes.gt=41", "multiple of 2"),
        ("ladder=[weak, stron]", "ladder: no model is called 'stron'; did you mean 'strong'"),
        ("ladder=[weak, weak]", "at least two models, each once"),
        ("ladder=[]", "name the models smallest first"),
        (
            "chains=[[[weak, weak], strong]]",
            "chains[0]: 'weak' stands twice among the supervisors ['weak', 'weak']; its",
        ),
        ("chains=[[[weak], strong]]", "a list pools several supervisors, but [weak] has one; write weak"),
        ("chains=[[weak, [middle, strong]]]", "the last place is the student, which is one model"),
        ("chains=[[[weak, stron], strong]]", "no model is called 'stron'; did you mean 'strong'"),
        ("chains=[[[weak, strong], strong]]", "at least two models, each once"),
        (
            "methods.x={raven: {}}",
            "methods.x.raven: it weighs several supervisors, but weak is one; pool some in a list",
        ),
        ("methods.x={ensemble: 2, raven: {}, loss: {name: kl}}", "under loss xent in one stage; drop loss, labels"),
        ("methods.x={algorithm: prompt, ensemble: 2, raven: {}}", "raven: prompting trains nothing"),
        ("methods.x={ensemble: 2, raven: {rates: 1}}", "unknown key 'rates'; did you mean 'rate'"),
        (
            ["students=[x]", "methods.x={ensemble: 2, raven: {}}", "studies.noise={}"],
            "studies.noise.method: 'x' learns weights over supervisors, which only the grid's students do; name",
        ),
        ("methods.x={combine: vote}", "methods.x.combine: there is one supervisor; give ensemble a number of seeds"),
        ("methods.x={ensemble: 2, combine: dawid_skene}", "methods.x.combine: dawid_skene tells good supervisors from"),
        (
            ["methods.x={ensemble: 2, combine: dawid_skene}", "ladder=[]", "chains=[[[weak, middle], strong]]"],
            "dawid_skene tells good supervisors from bad ones by who agrees with whom, which needs 3 of them; (we",
        ),
        ("methods.x={ensemble: 2, combine: accuracy}", "words has none; give sizes.calibration a number of items"),
        ("students=[naiv]", "students: no method is called 'naiv'; did you mean 'naive'"),
        ("supervisor=confidence", "has settings for weak labels"),
        ("methods.naive.loss={name: aux}", "unknown loss 'aux' (known: aux_confidence"),
        ("methods.naive.training={epoch: 3}", "unknown key 'epoch'; did you mean 'epochs'"),
        ("methods.naive.head=normal", "head: only algorithm finetune reads it, but this is probe"),
        ("methods.x={algorithm: finetune, training: {learningrate: 1.0}}", "did you mean 'learning_rate'"),
        ("methods.x={algorithm: prompt, loss: {name: kl}}", "prompting trains nothing"),
        ("methods.x={algorithm: prompt, two_stage: true}", "two_stage: shots is 0, so no label is read; show some"),
        (
            ["methods.x={ensemble: 2, combine: 'a.py:f'}", "methods.y={ensemble: 2, combine: 'b.py:f'}"],
            "'a.py:f' and 'b.py:f' are both called f in the tables; give one function another name",
        ),
        ("methods.x={two_stage: true, filter: high_confidence}", "drop filter"),
        ("methods.x={ground_truth: 41}", "ground_truth: 41 of 40 items"),
        ("methods.x={algorithm: prompt, shots: 41}", "shots is 41, but there are 40 labelled items"),
        ("models={we>ak: {path: small}}", "which stand between names"),
        ("studies.noise={structures: [longst]}", "should be 'supervisor'"),
        ("studies.imitation={tasks: [word]}", "studies.imitation: no task is called 'word'; did you mean 'words'"),
        ("studies.truncated={chains: [[weak, strongest]]}", "studies.truncated: no model is called 'strongest'"),
        (
            "studies.saliency={probe: naive, finetune: confidence}",
            "'confidence' is a probe method, and this study needs",
        ),
        (
            "studies.saliency={probe: naive, finetune: confidence, method: naive}",
            "studies.saliency: method: this study reads probe and finetune, not method",
        ),
        (
            ["students=[x]", "methods.x={two_stage: true, ensemble: 2}", "studies.imitation={}"],
            "studies.imitation.method: 'x' has two_stage and ensemble, which only the grid's students read; name",
        ),
        (
            ["methods.x={ground_truth: 4}", "studies.truncated={method: x}"],
            "studies.truncated.method: 'x' has ground_t",
        ),
        (["methods.x={filter: high_confidence}", "studies.noise={method: x}"], "studies.noise.method: 'x' has filter"),
        ("studies.scaling={}", "unknown key 'scaling'"),
        ("studies.noise={chains: [[weak, middle, strong]]}", "a chain here is a weak and a strong model"),
        ("tasks.words.label=nothing", "there is no column 'nothing'"),
        ("tasks=[boolqq]", "unknown task 'boolqq'; did you mean 'boolq'"),
        ("sizes.test=4000", "task 'words': split test asks for 4,000 items"),
    ],
)
def test_a_mistake_is_a_sentence(lab: Path, override: str | list[str], sentence: str) -> None:
    with pytest.raises(W2SError) as error:
        laboratory(lab, *([override] if isinstance(override, str) else override))
    assert sentence in str(error.value)


def test_bootstrapping_needs_a_model_between(lab: Path) -> None:
    with pytest.raises(W2SError, match=r"studies\.bootstrapping: no chain passes a model between its ends; name three"):
        laboratory(lab, "ladder=[weak, strong]", "studies.bootstrapping={}")


def test_a_list_of_tasks_names_them(lab: Path) -> None:
    from w2s_pref.studies.generalization.recipe import Recipe

    raw = {
        "name": "x",
        "tasks": ["boolq", "cola"],
        "models": {"a": {"path": "a"}, "b": {"path": "b"}},
        "ladder": ["a", "b"],
    }
    recipe = Recipe.model_validate(raw)
    assert {name: task.task for name, task in recipe.tasks.items()} == {"boolq": "boolq", "cola": "cola"}
    assert recipe.weak_method == "probe"
    assert recipe.student_methods == ["probe"]


def test_a_tasks_own_sizes_leave_the_rest_as_the_recipe_has_it(lab: Path) -> None:
    recipe = laboratory(lab, "tasks.words.sizes={test: 30}").recipe
    assert recipe.sizes.asked == {"gt": 40, "w2s": 40, "validation": 20, "test": 40}
    assert recipe.tasks["words"].sizes.asked == {"gt": 40, "w2s": 40, "validation": 20, "test": 30}


def test_pairs_are_given_chains_and_all_pairs_of_the_ladder(lab: Path) -> None:
    recipe = laboratory(lab, "chains=[[weak, middle, strong]]").recipe
    pairs = {("weak", "middle"), ("weak", "strong"), ("middle", "strong")}
    assert set(recipe.pairs()) == pairs | {("weak", "middle", "strong")}


def test_methods_that_differ_in_labels_share_ceilings(lab: Path) -> None:
    found = laboratory(lab, "methods.budget={algorithm: probe, training: {epochs: 6, batch_size: 16}, ground_truth: 4}")
    ceilings = {name for _, name, _ in found.named if name.startswith("ceiling/")}
    assert ceilings == {"ceiling/middle@naive", "ceiling/strong@naive"}
    assert {cell["ceiling"] for cell in found.cells} == ceilings


def test_weights_are_learned_where_a_chain_has_several_supervisors(lab: Path) -> None:
    found = laboratory(lab, "chains=[[[weak, middle], strong]]", "methods.x={raven: {}}", "seeds=[0]")
    cells = {(cell["chain"], cell["method"]) for cell in found.cells}
    assert {chain for chain, method in cells if method == "x"} == {"(weak, middle)>strong"}
    assert {chain for chain, method in cells if method == "naive"} > {"(weak, middle)>strong", "weak>strong"}
