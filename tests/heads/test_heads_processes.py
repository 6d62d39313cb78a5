"""Two processes fit the same classifier as one, rank over the same batch, and pick and keep the same checkpoints."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from float64 import EXACT, in_float64
from processes import run_together
from safetensors.torch import load_file

LOSSES = ({"name": "aux_confidence", "prior": "mean"}, {"name": "aux_confidence", "mode": "openai"})


def main(folder: Path, source: Path) -> None:
    """Fit with each loss, in float64, on all processes of this launch; the first one writes what came out."""
    from test_heads_training import job, load, train

    for number, loss in enumerate(LOSSES):
        with in_float64():
            work = job(load(source)[1], 44, dict(loss), watched=True, optim="sgd", learning_rate=0.3)
            _, done = train(folder / str(number), source, work)
        if os.environ.get("RANK", "0") == "0":
            saved = {name: folder / str(number) / "saved" / name / "model.safetensors" for name in done["picked"]}
            kept = {
                name: torch.cat([each.flatten() for each in load_file(path).values()]) for name, path in saved.items()
            }
            torch.save(kept, folder / f"{number}.pt")
            (folder / f"{number}.json").write_text(json.dumps({name: done[name] for name in ("curve", "picked")}))


def launched(folder: Path, source: Path, number: int) -> Path:
    folder.mkdir()
    done = run_together(number, __file__, str(folder), str(source))
    # An aborted exit after everything stands is gloo's, not ours: the results decide.
    assert (folder / f"{len(LOSSES) - 1}.json").is_file(), done
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What one process and what two processes made, 44 items in batches of 8."""
    from conftest import save_tiny

    folder = tmp_path_factory.mktemp("processes")
    source = save_tiny(folder / "model")
    return [launched(folder / "one", source, 1), launched(folder / "two", source, 2)]


@pytest.mark.parametrize("number", range(len(LOSSES)), ids=["paper", "openai"])
def test_two_processes_equal_one(runs: list[Path], number: int) -> None:
    one, two = (json.loads((folder / f"{number}.json").read_text()) for folder in runs)
    assert one["picked"] == two["picked"]
    assert len(one["curve"]) == len(two["curve"]) == 6
    for ours, theirs in zip(one["curve"], two["curve"], strict=True):
        assert np.allclose(list(ours.values()), list(theirs.values()), rtol=0, atol=EXACT)
    first, second = (torch.load(folder / f"{number}.pt", weights_only=True) for folder in runs)
    assert set(first) == {"final", "best_weak", "best_truth"}
    for name, weights in first.items():
        assert weights.dtype == torch.float64
        assert (weights - second[name]).abs().max() <= EXACT


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
