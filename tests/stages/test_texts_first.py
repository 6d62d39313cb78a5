"""Language modelling on both answers before a reward model: what it reads, what goes on from it, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.loop import Loop
from w2s_pref.engine.stage import Builder
from w2s_pref.engine.store import Store
from w2s_pref.models.load import load_saved
from w2s_pref.models.policies import load_policy
from w2s_pref.parallel.world import World
from w2s_pref.stages.labels import Part
from w2s_pref.stages.pairs import training_pairs
from w2s_pref.stages.policies import PairPolicyStage
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.studies.run import open_recipe

METHOD = (
    "methods={texts: {algorithm: reward, pre_stage: true, training: {learning_rate: 1.0e-12}, sft: {batch_size: 24}}}"
)
GIVEN = (METHOD, "seeds=[0]", "arms={direct: [weak, strong@texts]}", "conflict.settings=[none, implicit]")


class Silent:
    """A display that shows nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def texts_of(stage: TrainStage) -> PairPolicyStage:
    assert isinstance(stage.start, PairPolicyStage)
    return stage.start


def test_students_of_all_settings_share_one_and_the_ceiling_has_its_own(tiny: Path) -> None:
    trained = open_recipe(tiny, list(GIVEN)).study.trained
    none, implicit, best, weak = (
        trained[name, 0] for name in ("direct/none", "direct/implicit", "ceiling/strong@texts", "ceiling/weak")
    )
    assert texts_of(none).key == texts_of(implicit).key != texts_of(best).key
    assert weak.start is None
    assert none.inputs["start"] is none.start
    # It reads no label: neither the supervisor's nor the truth.
    assert all(part.payload["truth"] is None and part.labels == "random" for part in texts_of(best).parts)
    assert not texts_of(none).inputs


def test_every_answer_is_read_once_and_training_goes_on_from_the_model(tiny: Path, tmp_path: Path) -> None:
    student = open_recipe(tiny, [*GIVEN, "conflict.settings=[none]"]).study.trained["direct/none", 0]
    start = texts_of(student)
    builder = Builder(Store(tmp_path / "store"), World(), tiny.parent)
    _, tokenizer = load_policy(start.model.spec, tiny.parent, 0)
    pairs = training_pairs(builder, start, tokenizer, starts=True)
    half, p = len(pairs) // 2, pairs.columns["p"]
    assert pairs.sizes == [48, 48]
    assert pairs.ids["a_ids"][:half] == pairs.ids["a_ids"][half:]
    assert [a + b for a, b in zip(p[:half], p[half:], strict=True)] == [1.0] * half
    assert {0.0, 1.0} == set(p)

    learns = replace(student, parts=(Part(student.parts[0].rows, "random"),))
    Loop([start, learns], builder, Silent()).run()
    before, tuned = (
        load_policy(start.model.spec.model_copy(update={"path": str(path)}), tiny.parent, 0)[0].state_dict()
        for path in (start.model.folder, builder.artifact(start).folder)
    )
    after = load_saved(builder.artifact(learns).folder, False)[0].state_dict()
    shared = [name for name in tuned if name in after]
    assert len(shared) > 5
    assert max((after[name] - tuned[name]).abs().max() for name in shared) < 1e-7
    assert max((before[name] - tuned[name]).abs().max() for name in shared) > 1e-4


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("models.strong.lora={r: 2, target_modules: all-linear}", "an adapter cannot be fine-tuned twice"),
        ("models.strong.freeze_backbone=true", "nothing but a head trains"),
    ],
)
def test_a_model_that_cannot_go_on_training_is_refused(tiny: Path, override: str, sentence: str) -> None:
    with pytest.raises(W2SError, match=f"methods.texts.pre_stage: {sentence}; drop it, or "):
        open_recipe(tiny, [*GIVEN, override])


def test_arguments_without_the_fine_tuning_are_refused(tiny: Path) -> None:
    with pytest.raises(W2SError, match=r"methods\.texts\.sft: reward does not read it"):
        open_recipe(tiny, ["methods={texts: {algorithm: reward, sft: {batch_size: 24}}}", *GIVEN[1:]])
