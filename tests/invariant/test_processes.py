"""One process and two processes give the same study; a launch of the wrong size is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, write_tiny

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
SETTINGS = ["seeds=[0]", "arms={direct: [weak, strong]}", "training.optim=sgd", "training.learning_rate=1.0e-1"]

#: Scores in float32 after SGD. Six steps of a rate that falls from .1, gradients clipped to norm 1: the weights move by
#: .4 at most. A gradient sums 8 rows of 32 tokens, so it errs by no more than 256 roundings of 6e-8, or 1.5e-5, of
#: itself: the weights differ by 6e-6 at most, and the scores by less, as they move by less than the weights do (by .1).
ROUNDING = 1e-5


def accelerate(recipe: Path, *overrides: str, config: str = "ddp.yaml") -> subprocess.CompletedProcess[str]:
    config_file = ROOT / "accelerate_configs" / config
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config_file)]
    port = ["--main_process_port", str(20000 + os.getpid() % 20000)] if config == "ddp.yaml" else []
    line = [*launcher, *port, str(ROOT / "recipes" / "run.py"), str(recipe), *overrides]
    return subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def one_process(recipe: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "w2s_pref", "run", str(recipe), *overrides]
    return subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def scores(recipe: Path) -> pd.DataFrame:
    table = pd.read_parquet(recipe.parent / "runs" / "tiny" / "scores.parquet")
    return table.set_index(["model", "seed", "objective", "id"])["delta"].sort_index()


@pytest.mark.parametrize("loss", ["soft_bce", "aux_confidence"])
def test_two_processes_equal_one(tmp_path: Path, loss: str) -> None:
    """Batch 8 = 2 processes x 4, through every stage: ceilings, labels, all conflicts, scores."""
    tables = []
    for name, launch, extra in (("one", one_process, []), ("two", accelerate, ["processes=2"])):
        (tmp_path / name).mkdir()
        recipe = write_tiny(tmp_path / name)
        done = launch(recipe, *SETTINGS, f"loss.name={loss}", *extra)
        # An aborted exit after everything stands is gloo's, not ours: the results decide.
        assert (recipe.parent / "runs" / "tiny" / "results.json").is_file(), done.stderr[-3000:]
        tables.append(scores(recipe))
    assert tables[0].index.equals(tables[1].index)
    assert np.abs(tables[0] - tables[1]).max() <= ROUNDING


def test_a_launch_that_became_one_process_is_refused(tiny: Path) -> None:
    done = accelerate(tiny, "processes=2", config="cpu.yaml")
    assert done.returncode != 0
    assert "expects 2 processes but 1 run" in done.stderr
    assert not (tiny.parent / "runs").exists()
