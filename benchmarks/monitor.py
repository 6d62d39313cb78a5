"""What the live monitor costs at its default settings, on a rung of the ladder.

    python benchmarks/monitor.py [--rung m] [--rows 4000] [--epochs 3] [--pairs 64] [--rounds 3]

The same training with and without the monitor, in turn. Prints the number of looks, the share of wall time the monitor
measured itself, and the seconds of both (of the process on CPU, so that neighbours count little). Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers.trainer_callback import PrinterCallback
from trl import RewardConfig

from w2s_pref.data.config import DataConfig, prepare
from w2s_pref.data.tokens import tokenize
from w2s_pref.models.load import load_base
from w2s_pref.models.spec import ModelSpec
from w2s_pref.monitor import RiskMonitor
from w2s_pref.training.arguments import merged
from w2s_pref.training.environment import quiet
from w2s_pref.training.reward import SoftRewardTrainer, training_rows

MAX_LENGTH = 64
CLOCK = time.perf_counter if torch.cuda.is_available() else time.process_time


def train(options: argparse.Namespace, splits: dict[str, Any], watched: bool) -> tuple[float, RiskMonitor | None]:
    """Seconds of one training, and its monitor."""
    model, tokenizer = load_base(ModelSpec(path=f"ladder/{options.rung}"), Path(), 0)
    rows, probe = splits["w2s"], splits["test"].head(options.pairs)
    tokens = tokenize(rows, tokenizer, MAX_LENGTH)
    labels = {"p": rows["truth"].astype(float).tolist(), "sign": [0.0] * len(rows)}
    arguments = merged({"num_train_epochs": options.epochs, "save_strategy": "no", "logging_steps": 10})
    batch = arguments.pop("batch_size")
    with tempfile.TemporaryDirectory() as folder:
        own = {"output_dir": folder, "per_device_train_batch_size": batch, "max_length": None, "disable_tqdm": True}
        trainer = SoftRewardTrainer(
            model=model,
            args=RewardConfig(**{**arguments, **own}),
            rows=training_rows(tokens.a_ids, tokens.b_ids, labels, batch),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        monitor = None
        if watched:
            weak = probe[["id"]].assign(p_a=0.6)
            weak.loc[probe["truth"].to_numpy() == 0, "p_a"] = 0.2
            monitor = RiskMonitor(probe, weak, training_groups=rows["group"], folder=folder, max_length=MAX_LENGTH)
            monitor.attach(trainer)
        started = CLOCK()
        trainer.train()
        return CLOCK() - started, monitor


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rung", default="m")
    for name, default in (("rows", 4000), ("epochs", 3), ("pairs", 64), ("rounds", 3), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet()
    config = {
        "version": 1,  # docs/monitor.md shows the numbers of these pairs
        "target": {"source": "testbed", "objective": "harmless"},
        "splits": {"gt": 100, "w2s": options.rows, "test": max(100, options.pairs)},
        "max_length": MAX_LENGTH,
    }
    splits = prepare(DataConfig.model_validate(config)).splits
    without, with_it, shares, looks = [], [], [], 0
    for _ in range(options.rounds):
        without.append(train(options, splits, False)[0])
        seconds, monitor = train(options, splits, True)
        assert monitor is not None
        with_it.append(seconds)
        shares.append(monitor.cost)
        looks = len(monitor.table)
    print(f"{options.rung}, {options.rows} pairs x {options.epochs} epochs, probe {options.pairs} pairs, {looks} looks")
    print("| without, s | with, s | share measured inside |\n|---|---|---|")
    inside = ", ".join(f"{100 * share:.1f} %" for share in shares)
    print(f"| {statistics.median(without):.1f} | {statistics.median(with_it):.1f} | {inside} |")


if __name__ == "__main__":
    main()
