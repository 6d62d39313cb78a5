"""``bootstrap.match_compute``: arms between the same two models do the same work, whatever comes before a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.preferences.study import Study
from w2s_pref.studies.run import open_recipe

MATCHED = ("seeds=[0]", "conflict.settings=[none]", "bootstrap.match_compute=true")


def trainings(study: Study, arm: str) -> dict[str, tuple[float, float]]:
    """Of each training of an arm but ceilings: epochs, and parameters outside the embedding table x pairs x epochs."""
    from w2s_pref.models.shapes import backbone_parameters

    found = {}
    for stage in all_stages(study):
        name = stage.name.removesuffix(" · seed 0")
        if f"{arm}/" not in name or not hasattr(stage, "arguments") or not hasattr(stage, "parts"):
            continue
        epochs = stage.arguments["num_train_epochs"]
        answers = 0.5 if getattr(stage, "objective", {}).get("name") == "sft" else 1.0
        work = (backbone_parameters(stage.model) or 0) * len(stage.parts[0].rows) * epochs * answers
        found[name] = (epochs, work)
    return found


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("students=[dpo]", "speech.prompts=0"),
        ("models.middle.training={num_train_epochs: 4}",),
        (
            "students=[dpo]",
            "speech.prompts=0",
            "methods.dpo={sft: {num_train_epochs: 3}}",
            "training.num_train_epochs=2",
        ),
        ("bootstrap.inputs=split",),
        ("arms={direct: [weak, strong@sft], bootstrapped: [weak, middle, strong@sft]}", "speech.prompts=0"),
    ],
)
def test_arms_do_the_same_work(original: Path, more: tuple[str, ...]) -> None:
    study = open_recipe(original / "tiny.yaml", [*MATCHED, *more]).study
    arms = [trainings(study, arm) for arm in study.chains]
    assert len(arms) == 2
    sums = [sum(work for _, work in found.values()) for found in arms]
    assert sums[0] == pytest.approx(sums[1])
    assert sum(len(found) for found in arms) >= 3
    for found in arms:
        fine_tuned = [epochs for name, (epochs, _) in found.items() if name.startswith("sft before")]
        assert len(set(fine_tuned)) <= 1, "what comes before is not lengthened"
