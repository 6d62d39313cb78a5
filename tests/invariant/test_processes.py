"""One process and two processes give the same study; a launch of the wrong size is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, write_tiny
from processes import ENVIRONMENT, run_together

SETTINGS = ["seeds=[0]", "arms={direct: [weak, strong]}", "training.optim=sgd", "training.learning_rate=1.0e-1"]

#: Scores in float32 after SGD. Six steps of a rate that falls from .1, gradients clipped to norm 1: the weights move by
#: .4 at most. A gradient sums 8 rows of 32 tokens, so it errs by no more than 256 roundings of 6e-8, or 1.5e-5, of
#: itself: the weights differ by 6e-6 at most, and the scores by less, as they move by less than the weights do (by .1).
ROUNDING = 1e-5


def scores(recipe: Path) -> pd.DataFrame:
    table = pd.read_parquet(recipe.parent / "runs" / "tiny" / "scores.parquet")
    return table.set_index(["model", "seed", "objective", "id"])["delta"].sort_index()


@pytest.mark.parametrize("loss", ["soft_bce", "aux_confidence"])
def test_two_processes_equal_one(tmp_path: Path, loss: str) -> None:
    """Batch 8 = 2 processes x 4, through every stage: ceilings, labels, all conflicts, scores."""
    tables = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        recipe = write_tiny(folder)
        words = [str(recipe), *SETTINGS, f"loss.name={loss}", f"processes={number}"]
        done = run_together(number, str(ROOT / "recipes" / "run.py"), *words)
        # An aborted exit after everything stands is gloo's, not ours: the results decide.
        assert (folder / "runs" / "tiny" / "results.json").is_file(), done
        tables.append(scores(recipe))
    assert tables[0].index.equals(tables[1].index)
    assert np.abs(tables[0] - tables[1]).max() <= ROUNDING


def test_a_launch_that_became_one_process_is_refused(tiny: Path) -> None:
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    line = [*launcher, str(ROOT / "accelerate_configs" / "cpu.yaml"), str(ROOT / "recipes" / "run.py"), str(tiny)]
    done = subprocess.run([*line, "processes=2"], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "expects 2 processes but 1 run" in done.stderr
    assert not (tiny.parent / "runs").exists()
