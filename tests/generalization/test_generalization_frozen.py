"""Whole models whose first layers are frozen read stored states of items, and answer as if they computed them."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest
from conftest import save_tiny
from lab_helpers import laboratory, write_lab

from w2s_pref.engine.stage import Builder
from w2s_pref.engine.store import Store
from w2s_pref.parallel.world import World
from w2s_pref.studies.generalization import finetune
from w2s_pref.studies.generalization.finetune import FinetuneStage

#: Plain gradient descent: Adam makes a step of the rounding of a gradient near 0.
TUNED = (
    "methods={tuned: {algorithm: finetune, training: {batch_size: 8, num_train_epochs: 1, learning_rate: 0.5, "
    "optim: sgd, bf16: false}}}"
)


def answers(stage: FinetuneStage, folder: Path) -> tuple[pd.DataFrame, int]:
    """What a stage answers in a store of its own, and how many files of states it left there."""
    made, base = folder / "made", folder.parent
    made.mkdir(parents=True)
    stage.compute(Builder(Store(folder / "store"), World(), base), made)
    return pd.read_parquet(made / "table.parquet"), len(list((folder / "store").glob("states/*")))


def test_a_classifier_is_the_same_with_and_without_stored_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_lab(tmp_path)
    save_tiny(tmp_path / "large", seed=2, hidden=32, layers=2)
    chain = "chains=[[weak, strong]]"
    lab = laboratory(recipe, TUNED, "ladder=[]", chain, "models.strong.freeze_layers=1", "seeds=[0]")
    ceiling, floor = (lab.named["words", name, 0] for name in ("ceiling/strong@tuned", "floor/weak@tuned"))
    assert isinstance(ceiling, FinetuneStage)
    assert isinstance(floor, FinetuneStage)
    read, files = answers(ceiling, tmp_path / "read")
    assert files == 1  # its training items are among those that it answers
    assert answers(floor, tmp_path / "floor")[1] == 0  # nothing of it is frozen
    monkeypatch.setattr(finetune, "reading_states", lambda *_: nullcontext())
    computed, files = answers(ceiling, tmp_path / "computed")
    assert files == 0
    assert read["id"].tolist() == computed["id"].tolist()
    margins = [name for name in read.columns if name != "id"]
    assert (read[margins] - computed[margins]).abs().to_numpy().max() < 1e-5
    assert read[margins].to_numpy().std() > 1e-3
