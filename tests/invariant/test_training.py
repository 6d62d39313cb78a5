"""Equalities of training: to stock TRL, to other splits of the same batch, to the undisturbed run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_model, make_tokenizer
from float64 import EXACT

from w2s_pref.core.errors import W2SError
from w2s_pref.losses.spec import LossSpec
from w2s_pref.training.arguments import merged, micro_batches
from w2s_pref.training.fit import FitJob, fit
from w2s_pref.training.reward import Loss

ARGUMENTS = {"batch_size": 8, "learning_rate": 1.0e-3, "num_train_epochs": 1, "save_steps": 100, "logging_steps": 1}

pytestmark = pytest.mark.usefixtures("float64")


def ids(n: int, seed: int) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(100) for _ in range(draw.randint(4, 20))] + [101] for _ in range(n)]


def job(n: int = 80, p: float | None = None, loss: Loss | None = None, **arguments: Any) -> FitJob:
    labels = [random.Random(row).random() if p is None else p for row in range(n)]
    columns = {"p": labels, "sign": [1.0 if row % 3 else -1.0 for row in range(n)], "weight": [1.0] * n}
    return FitJob(ids(n, 1), ids(n, 2), columns, loss or Loss(), arguments=merged(ARGUMENTS, arguments), seed=3)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def train(folder: Path, work: FitJob) -> tuple[torch.Tensor, list[float]]:
    model = make_model()
    history = fit(model, make_tokenizer(), work, folder / "work", folder / "saved")["history"]
    return weights(model), [entry["loss"] for entry in history]


def test_certain_labels_equal_stock_trl(tmp_path: Path) -> None:
    """p = 1: same loss and same weights as trl.RewardTrainer after 10 steps."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    ours, our_losses = train(tmp_path / "ours", job(p=1.0))
    arguments = merged(ARGUMENTS)
    arguments.pop("batch_size")
    config = RewardConfig(
        output_dir=str(tmp_path / "stock"), per_device_train_batch_size=8, seed=3, data_seed=3, max_length=None,
        use_cpu=True, disable_tqdm=True, save_strategy="no",
        **{name: value for name, value in arguments.items() if not name.startswith("save")},
    )  # fmt: skip
    model = make_model()
    rows = Dataset.from_dict({"chosen_ids": ids(80, 1), "rejected_ids": ids(80, 2)})
    stock = RewardTrainer(model=model, args=config, train_dataset=rows, processing_class=make_tokenizer())
    stock.train()
    losses = [entry["loss"] for entry in stock.state.log_history if "loss" in entry]
    assert len(losses) == 10
    assert ours.dtype == torch.float64
    assert our_losses == pytest.approx(losses, abs=EXACT)
    assert (ours - weights(model)).abs().max() <= EXACT


@pytest.mark.parametrize(
    "loss", [Loss(), Loss(alpha=0.5), Loss(student=LossSpec(name="aux_confidence"))], ids=["soft", "explicit", "aux"]
)
@pytest.mark.parametrize("n", [80, 77])
def test_the_split_of_a_batch_changes_nothing(tmp_path: Path, loss: Loss, n: int) -> None:
    """8 = at most 4 at a time = 2, also where the rows are no multiple of the batch."""
    whole, losses = train(tmp_path / "8", job(n, loss=loss, optim="sgd"))
    for micro in (4, 2):
        other, others = train(tmp_path / str(micro), job(n, loss=loss, optim="sgd", per_device_train_batch_size=micro))
        assert others == pytest.approx(losses, abs=EXACT)
        assert (whole - other).abs().max() <= EXACT


def test_the_order_of_answers_changes_nothing(tmp_path: Path) -> None:
    """Swapping a and b with p → 1 - p and sign → -sign trains the same model."""
    loss = Loss(alpha=0.5)
    plain, _ = train(tmp_path / "plain", job(loss=loss, optim="sgd"))
    swapped = job(loss=loss, optim="sgd")
    swapped.a_ids, swapped.b_ids = swapped.b_ids, swapped.a_ids
    swapped.columns = {
        "p": [1 - p for p in swapped.columns["p"]], "sign": [-s for s in swapped.columns["sign"]],
        "weight": swapped.columns["weight"],
    }  # fmt: skip
    other, _ = train(tmp_path / "swapped", swapped)
    assert (plain - other).abs().max() <= EXACT


def test_divergence_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(W2SError, match="diverged at step"):
        train(tmp_path, job(learning_rate=1.0e12, max_grad_norm=0.0))


@pytest.mark.parametrize(
    ("batch", "per_device", "world", "expected"),
    [(32, None, 1, (32, 1)), (32, 8, 1, (8, 4)), (32, 8, 2, (8, 2)), (32, None, 2, (16, 1)), (12, 5, 1, (4, 3))],
)
def test_micro_batches(batch: int, per_device: int | None, world: int, expected: tuple[int, int]) -> None:
    assert micro_batches(batch, per_device, world) == expected


def test_micro_batches_refuse_an_unequal_share() -> None:
    with pytest.raises(ValueError, match="use a multiple"):
        micro_batches(9, None, 2)
