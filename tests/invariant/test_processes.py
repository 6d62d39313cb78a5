"""One process and two processes give the same study; a launch of the wrong size is refused."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, write_tiny
from processes import ENVIRONMENT, run, run_together

SETTINGS = ["seeds=[0]", "arms={direct: [weak, strong]}", "training.optim=sgd", "training.learning_rate=1.0e-1",
            "training.save_steps=100"]  # fmt: skip

#: Scores in float32 after SGD. Six steps of a rate that falls from .1, gradients clipped to norm 1: the weights move by
#: .4 at most. A gradient sums 8 rows of 32 tokens, so it errs by no more than 256 roundings of 6e-8, or 1.5e-5, of
#: itself: the weights differ by 6e-6 at most, and the scores by less, as they move by less than the weights do (by .1).
ROUNDING = 1e-5


def scores(recipe: Path) -> pd.DataFrame:
    table = pd.read_parquet(recipe.parent / "runs" / "tiny" / "scores.parquet")
    return table.set_index(["model", "seed", "objective", "id"])["delta"].sort_index()


@pytest.mark.parametrize(
    ("loss", "conflicts"), [("soft_bce", "[none, explicit, implicit]"), ("aux_confidence", "[none]")]
)
def test_two_processes_equal_one(tmp_path: Path, loss: str, conflicts: str) -> None:
    """Batch 8 = 2 processes x 4, through every stage: ceilings, labels, all conflicts, scores.

    Conflicts are data, which the second loss reads as the first one does.
    """
    tables = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        recipe = write_tiny(folder)
        words = [str(recipe), *SETTINGS, f"loss.name={loss}", f"conflict.settings={conflicts}"]
        words.append(f"processes={number}")
        done = run_together(number, str(ROOT / "recipes" / "run.py"), *words)
        # An aborted exit after everything stands is gloo's, not ours: the results decide.
        assert (folder / "runs" / "tiny" / "results.json").is_file(), done
        tables.append(scores(recipe))
    assert tables[0].index.equals(tables[1].index)
    assert np.abs(tables[0] - tables[1]).max() <= ROUNDING


def test_a_launch_that_became_one_process_is_refused(tiny: Path) -> None:
    """What accelerate starts of cpu.yaml, in the environment that it makes, forked."""
    from accelerate.commands.launch import launch_command, launch_command_parser

    script = str(ROOT / "recipes" / "run.py")
    config = str(ROOT / "accelerate_configs" / "cpu.yaml")
    asked = launch_command_parser().parse_args(["--config_file", config, script, str(tiny), "processes=2"])
    with patch.dict("os.environ", ENVIRONMENT), patch("accelerate.commands.launch.subprocess.Popen") as process:
        process.return_value.returncode = 0
        launch_command(asked)
    ((line,), more) = process.call_args
    done = run(*line[line.index(script) :], environment=more["env"])
    assert done.returncode != 0
    assert "expects 2 processes but 1 run" in done.stderr
    assert not (tiny.parent / "runs").exists()
