"""Two processes train the same policy as one, also where they need different numbers of micro-batches."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from float64 import EXACT, in_float64
from processes import run_together

OBJECTIVES = ("dpo", "aux", "sft", "wspo", "sepo")


def main(folder: Path) -> None:
    """Train each objective, in float64, on all processes of this launch; the first one writes the weights."""
    from policy_helpers import job, train

    from w2s_pref.losses.pairs import PairObjective
    from w2s_pref.losses.spec import LossSpec

    aux = {"name": "simpo", "beta": 2.0, "gamma": 1.0, "student": LossSpec(name="aux_confidence")}
    settings = [{"alpha": 0.5}, aux, {"name": "sft"}, {"name": "wspo"}, {"name": "sepo"}]
    for name, objective in zip(OBJECTIVES, settings, strict=True):
        with in_float64():
            adapter = {"lora": {"r": 4}} if name == "wspo" else {}
            work = job(PairObjective(**objective), n=37, micro_batch_tokens=64, **adapter)  # type: ignore[arg-type]
            weights, losses = train(folder / name, work)
        if os.environ.get("RANK", "0") == "0":
            torch.save({"weights": weights, "losses": torch.tensor(losses, dtype=torch.float64)}, folder / f"{name}.pt")


def launched(folder: Path, number: int) -> dict[str, dict[str, torch.Tensor]]:
    folder.mkdir()
    done = run_together(number, __file__, str(folder))
    # An aborted exit after everything stands is gloo's, not ours: the results decide.
    assert (folder / f"{OBJECTIVES[-1]}.pt").is_file(), done
    return {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in OBJECTIVES}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, torch.Tensor]]]:
    """What one process and what two processes made, 37 pairs in batches of 8."""
    folder = tmp_path_factory.mktemp("processes")
    return [launched(folder / "one", 1), launched(folder / "two", 2)]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_processes_equal_one(runs: list[dict[str, dict[str, torch.Tensor]]], name: str) -> None:
    one, two = (run[name] for run in runs)
    assert one["weights"].dtype == torch.float64
    assert (one["weights"] - two["weights"]).abs().max() <= EXACT
    assert (one["losses"] - two["losses"]).abs().max() <= EXACT


if __name__ == "__main__":
    main(Path(sys.argv[1]))
