"""Two processes train the same policy as one, also where they need different numbers of micro-batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from float64 import EXACT, in_float64

OBJECTIVES = ("dpo", "aux", "sft")


def main(folder: Path) -> None:
    """Train each objective, in float64, on all processes of this launch; the first one writes the weights."""
    from policy_helpers import job, train

    from w2s_pref.losses.pairs import PairObjective
    from w2s_pref.losses.spec import LossSpec

    aux = {"name": "simpo", "beta": 2.0, "gamma": 1.0, "student": LossSpec(name="aux_confidence")}
    settings = [{"alpha": 0.5}, aux, {"name": "sft"}]
    for name, objective in zip(OBJECTIVES, settings, strict=True):
        with in_float64():
            work = job(PairObjective(**objective), n=37, micro_batch_tokens=64)  # type: ignore[arg-type]
            weights, losses = train(folder / name, work)
        if os.environ.get("RANK", "0") == "0":
            torch.save({"weights": weights, "losses": torch.tensor(losses, dtype=torch.float64)}, folder / f"{name}.pt")


def launched(folder: Path, *launcher: str) -> dict[str, dict[str, torch.Tensor]]:
    folder.mkdir()
    places = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    line = [sys.executable, *launcher, __file__, str(folder)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    # An aborted exit after everything stands is gloo's, not ours: the results decide.
    assert (folder / f"{OBJECTIVES[-1]}.pt").is_file(), done.stderr[-3000:]
    return {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in OBJECTIVES}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, torch.Tensor]]]:
    """What one process and what two processes made, 37 pairs in batches of 8."""
    folder = tmp_path_factory.mktemp("processes")
    port = str(20000 + os.getpid() % 20000)
    two = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", port]
    return [launched(folder / "one"), launched(folder / "two", *two)]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_processes_equal_one(runs: list[dict[str, dict[str, torch.Tensor]]], name: str) -> None:
    one, two = (run[name] for run in runs)
    assert one["weights"].dtype == torch.float64
    assert (one["weights"] - two["weights"]).abs().max() <= EXACT
    assert (one["losses"] - two["losses"]).abs().max() <= EXACT


if __name__ == "__main__":
    main(Path(sys.argv[1]))
