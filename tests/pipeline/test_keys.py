"""Keys: every configuration field changes exactly the stages that it should."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

from w2s_pref.data.sources import Source
from w2s_pref.labels.make import LabelConfig
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.spec import ModelSpec
from w2s_pref.stages.rows import rows_hash, truth_hash
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.preferences.config import AnalysisConfig, BootstrapConfig, ConflictConfig, SpeechConfig
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.run import open_recipe

# field → (override, kinds of stages whose keys must change). "ceiling" and "student" are both models.
EVERYTHING = {"ceiling", "student", "scores", "labels", "analysis"}
AFTER_LABELS = {"student", "scores", "labels", "analysis"}
STUDENTS = {"student", "scores", "labels", "analysis"}
SPOKEN = {"samples", "judged", "analysis"}
ARGUED = {"arguments", "student", "scores", "labels", "analysis"}
CHANGES: dict[str, tuple[str, set[str]]] = {
    "name": ("name=other", set()),
    "output": ("output=elsewhere", set()),
    "store": ("store=elsewhere", set()),
    "processes": ("processes=1", set()),
    "seeds": ("seeds=[0,2]", EVERYTHING),
    "data.version": ("data.version=1", EVERYTHING),
    "data.target": ("data.target.objective=third", {"analysis"}),
    "data.conflict": ("data.conflict.objective=third", {"analysis"}),
    "data.splits": ("data.splits.gt=40", EVERYTHING),
    "data.seed": ("data.seed=1", EVERYTHING),
    "data.overlap": ("data.overlap=drop", set()),
    "data.max_length": ("data.max_length=30", EVERYTHING),
    "data.overlong": ("data.overlong=drop", EVERYTHING),
    "data.control_tokens": (
        "data.control_tokens=keep",
        set(),
    ),  # these texts spell none: tests/data/test_data_control.py
    "data.unknown_tokens": ("data.unknown_tokens=warn", set()),
    "models": ("models.weak.path=medium", EVERYTHING),
    "ladder": ("ladder=[weak, strong]", {"analysis"}),
    "arms": ("arms={direct: [weak, strong]}", {"analysis"}),
    "supervisors": ("supervisors={argued: {judge: weak, arguers: weak, max_new_tokens: 2, seed: 1}}", ARGUED),
    "labels.form": ("labels.form=hard", AFTER_LABELS),
    "labels.calibrate": ("labels.calibrate=true", AFTER_LABELS),
    "labels.filter": ("labels.filter=high_confidence", AFTER_LABELS),
    "labels.threshold": ("labels.threshold=0.8", AFTER_LABELS),
    "labels.two_stage": ("labels.two_stage=true", AFTER_LABELS),
    "labels.combine": ("labels.combine=vote", AFTER_LABELS),
    "labels.refine": ("labels.refine={by: strong}", AFTER_LABELS),
    "loss.name": ("loss.name=aux_confidence", STUDENTS),
    "loss.a_max": ("loss.a_max=0.7", STUDENTS),
    "loss.warmup": ("loss.warmup=0.3", STUDENTS),
    "loss.prior": ("loss.prior=mean", STUDENTS),
    "loss.mode": ("loss.mode=openai", STUDENTS),
    "loss.alpha": ("loss.alpha=0.7", STUDENTS),
    "loss.beta": ("loss.beta=0.7", STUDENTS),
    "loss.radius": ("loss.radius=0.3", STUDENTS),
    "loss.options": ("loss.options={gamma: 2.0}", STUDENTS),
    "conflict.settings": ("conflict.settings=[none, explicit, placebo]", {"analysis"}),
    "conflict.alpha": ("conflict.alpha=0.7", {"student", "scores", "analysis"}),
    "conflict.match_updates": ("conflict.match_updates=false", {"student", "scores", "analysis"}),
    "bootstrap.inputs": ("bootstrap.inputs=split", STUDENTS),
    "bootstrap.match_compute": ("bootstrap.match_compute=true", {"student", "scores", "analysis"}),
    "training": ("training.learning_rate=2.0e-3", EVERYTHING),
    "methods": ("methods={dpo: {beta: 0.3}}", {"policy", "logprobs", "scores", *SPOKEN}),
    "students": ("students=[reward, sft]", {"analysis"}),
    "monitor": ("monitor={}", {"ceiling", *STUDENTS}),
    "speech.prompts": ("speech.prompts=20", SPOKEN),
    "speech.samples": ("speech.samples=3", SPOKEN),
    "speech.temperature": ("speech.temperature=0.5", SPOKEN),
    "speech.max_new_tokens": ("speech.max_new_tokens=6", SPOKEN),
    "speech.batch_size": ("speech.batch_size=8", SPOKEN),
    "speech.gold": ("speech.gold=middle", {"student", "scores", "judged", "analysis"}),  # another gold-conflict model
    "speech.oracle": ("speech.oracle=phrases", {"judged", "analysis"}),
    "analysis.threshold": ("analysis.threshold=0.8", {"analysis"}),
    "analysis.known_rule": ("analysis.known_rule=max_prob", {"analysis"}),
    "analysis.resamples": ("analysis.resamples=200", {"analysis"}),
    "analysis.seed": ("analysis.seed=1", {"analysis"}),
    "analysis.placebo": ("analysis.placebo=middle", {"analysis"}),
    "analysis.by": ("analysis.by=form", {"analysis"}),
    "analysis.metrics": ("analysis.metrics=[test_keys:own_metric]", {"analysis"}),
    "report": ("report.sections=[tops.py:tops]", set()),
}
POLICIES = ["students=[reward, dpo]", "speech={prompts: 9, max_new_tokens: 8}"]
# Fields that act only together with another one: the base that they are compared with.
TOGETHER = {
    "labels.threshold": ["labels.filter=high_confidence"],
    "labels.calibrate": ["data.splits.calibration=16"],
    "supervisors": [
        "arms={direct: [argued, strong]}",
        "supervisors={argued: {judge: weak, arguers: weak, max_new_tokens: 2}}",
    ],
    "labels.combine": ["arms={direct: [[weak, middle], strong]}"],
    "methods": POLICIES,
    "students": ["speech={prompts: 9, max_new_tokens: 8}"],
    "monitor": ["data.splits.probe=16"],
    **{f"speech.{name}": POLICIES for name in SpeechConfig.model_fields},
    "loss.a_max": ["loss.name=aux_confidence"],
    "loss.warmup": ["loss.name=aux_confidence"],
    "loss.prior": ["loss.name=aux_confidence"],
    "loss.mode": ["loss.name=aux_confidence"],
    "loss.alpha": ["loss.name=product"],
    "loss.beta": ["loss.name=product"],
    "loss.radius": ["loss.name=window"],
    "loss.options": ["loss.name=test_keys:own_loss"],
}
MODEL_CHANGES = {
    "path": "models.strong.path=medium",
    "revision": None,  # read for hub models only; their hash holds it (test_models)
    "dtype": "models.strong.dtype=bfloat16",
    "trust_remote_code": "models.strong.trust_remote_code=true",
    "pad_token": "models.strong.pad_token=<unk>",
    "lora": "models.strong.lora={r: 4}",
    "quantization": None,  # needs an adapter with it (test_scale_launch_quantized)
    "freeze_backbone": "models.strong.freeze_backbone=true",
    "freeze_layers": None,  # these models have one layer (test_models_frozen)
    "from_config": "models.strong.from_config={num_hidden_layers: 2}",
    "training": "models.strong.training.learning_rate=0.1",
}
SECTIONS: dict[str, type[BaseModel]] = {
    "labels": LabelConfig,
    "loss": LossSpec,
    "conflict": ConflictConfig,
    "bootstrap": BootstrapConfig,
    "analysis": AnalysisConfig,
    "speech": SpeechConfig,
}


def own_loss(margin, p, gamma=1.0):
    """A user's loss, named ``test_keys:own_loss``."""
    return gamma * (margin - p) ** 2


def own_metric(student):
    """A user's metric."""
    return student


def keys(recipe: Path, *overrides: str) -> dict[str, str]:
    """Stage name → key, with "ceiling" or "student" in front of models."""
    found = {}
    for stage in all_stages(open_recipe(recipe, list(overrides)).study):
        kind = stage.kind
        if kind == "model":
            kind = "ceiling" if stage.name.startswith("ceiling") else "student"
        found[f"{kind}|{stage.name}"] = stage.key
    return found


#: The same where neither the recipe nor what it names is changed meanwhile.
keys_once = cache(keys)


@pytest.fixture(scope="session")
def unchanged(original: Path) -> Path:
    """The tiny recipe, which these tests only plan."""
    return original / "tiny.yaml"


def changed(recipe: Path, base: list[str], override: str) -> set[str]:
    before, after = keys_once(recipe, *base), keys_once(recipe, *base, override)
    return {name.split("|")[0] for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_every_field_is_covered() -> None:
    from w2s_pref.data.config import DataConfig

    fields = set()
    for name, field in Recipe.model_fields.items():
        section = DataConfig if name == "data" else SECTIONS.get(name)
        fields |= {f"{name}.{inner}" for inner in section.model_fields} if section else {name}
        assert field is not None
    assert fields == set(CHANGES)
    assert set(ModelSpec.model_fields) == set(MODEL_CHANGES)
    assert Source.model_fields.keys() >= {"source", "objective", "columns"}


@pytest.mark.parametrize("field", CHANGES)
def test_a_field_changes_its_stages_and_no_others(unchanged: Path, field: str) -> None:
    override, expected = CHANGES[field]
    removed_only = {"arms", "ladder", "students"}
    found = changed(unchanged, TOGETHER.get(field, []), override)
    if field in removed_only or field == "conflict.settings":
        assert "analysis" in found
        base = TOGETHER.get(field, [])
        after = keys_once(unchanged, *base, override)
        shared = {n for n, k in keys_once(unchanged, *base).items() if after.get(n) == k}
        assert any(name.startswith("ceiling") for name in shared)
    else:
        assert found == expected


@pytest.mark.parametrize("field", [name for name, change in MODEL_CHANGES.items() if change])
def test_model_fields_change_that_model_only(unchanged: Path, field: str) -> None:
    before, after = keys_once(unchanged), keys_once(unchanged, str(MODEL_CHANGES[field]))
    different = {name for name in before if before[name] != after.get(name)}
    assert "ceiling|ceiling/strong · seed 0" in different
    assert "ceiling|ceiling/weak · seed 0" not in different


@pytest.mark.parametrize(
    "override",
    ["training.per_device_train_batch_size=2", "training.logging_steps=7", "training.save_steps=9",
     "training.report_to=tensorboard", "training.dataloader_num_workers=1"],
)  # fmt: skip
def test_what_changes_no_weights_changes_no_key(unchanged: Path, override: str) -> None:
    assert changed(unchanged, [], override) == set()


def test_moving_files_changes_no_key(unchanged: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    import shutil

    other = tmp_path_factory.mktemp("moved") / "deeper"
    shutil.copytree(unchanged.parent, other)
    assert keys_once(unchanged) == keys(other / unchanged.name)


def test_row_order_changes_no_key(tiny: Path) -> None:
    import pandas as pd

    before = keys(tiny)
    table = pd.read_csv(tiny.parent / "target.csv")
    table.sample(frac=1, random_state=1).to_csv(tiny.parent / "target.csv", index=False)
    assert keys(tiny) == before


def own_files(folder: Path) -> list[str]:
    """Overrides of a recipe that reads files of its own for every split."""
    from conftest import make_rows

    texts = make_rows(120, seed=7)
    parts = {"gt": texts[:40], "w2s": texts[40:80], "test": texts[80:]}
    for name, part in parts.items():
        part.to_csv(folder / f"{name}.csv", index=False)
    for seed, name in enumerate(("conflict", "conflict_test"), 8):
        make_rows(30, seed=seed, marker="no").to_csv(folder / f"{name}.csv", index=False)
    target = ", ".join(f"{name}: {{source: {name}.csv, objective: target}}" for name in parts)
    conflict = ", ".join(f"{name}: {{source: {name}.csv, objective: no}}" for name in ("conflict", "conflict_test"))
    given = [f"data.target={{{target}}}", f"data.conflict={{{conflict}}}", "data.splits=null", "data.overlap=drop"]
    return [*given, "conflict.settings=[none]"]


def test_the_order_of_pairs_is_in_the_keys_of_trainings(tiny: Path) -> None:
    """``data.seed`` orders pairs that it does not draw, and batches follow it."""
    given = own_files(tiny.parent)
    usual, other = keys(tiny, *given), keys(tiny, *given, "data.seed=1")
    assert {name.split("|")[0] for name in usual if usual[name] != other[name]} == EVERYTHING


def test_groups_that_intervals_resample_are_in_the_analysis(tiny: Path) -> None:
    import pandas as pd

    given = own_files(tiny.parent)
    before = keys(tiny, *given)
    for name in ("w2s", "conflict_test"):
        file = tiny.parent / f"{name}.csv"
        table = pd.read_csv(file)
        table.assign(group=[f"{name}-{row % 5}" for row in range(len(table))]).to_csv(file, index=False)
        after = keys(tiny, *given)
        assert {kind.split("|")[0] for kind in before if before[kind] != after[kind]} == {"analysis"}
        before = after


def test_data_hashes_see_texts_and_truth_apart() -> None:
    from conftest import make_pairs

    pairs = make_pairs(20)
    flipped = pairs.assign(truth=1 - pairs["truth"])
    assert rows_hash(pairs) == rows_hash(flipped) == rows_hash(pairs.sample(frac=1, random_state=0))
    assert truth_hash(pairs) != truth_hash(flipped)
    assert rows_hash(pairs) != rows_hash(pairs.assign(a=pairs["a"] + "!"))


def test_shared_stages_are_built_once(unchanged: Path) -> None:
    """Ceilings and first-hop labels serve every arm and every conflict."""
    names = [stage.name for stage in all_stages(open_recipe(unchanged, ["seeds=[0]"]).study)]
    assert sum(name.startswith("ceiling/") and " on " not in name for name in names) == 3
    assert sum("by ceiling/weak" in name for name in names) == 1
