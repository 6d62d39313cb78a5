"""What the toolkit costs over a hand-written loop with the same kernels.

    python benchmarks/overhead.py [--model 1M] [--batch 32] [--steps 12] [--rounds 5]

The loop does what training must: the same rows in the same order and layout, the same micro-batches, the same
optimizer, schedule and clipping. Rounds of both in turn, so that neighbours meet both; the share is the median of the
rounds' ratios. ``--profile`` prints where a training's own time goes instead.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from pairs import DATA, DEVICE, clock, frame_of, machine, model_of, pairs_of, table, tokenizer_of
from torch.nn.functional import softplus
from transformers import get_scheduler
from transformers.trainer_callback import PrinterCallback
from trl import RewardConfig

from w2s_pref.models.batches import budget, collate, read_heads, row_length, training_layout
from w2s_pref.training.arguments import merged
from w2s_pref.training.environment import quiet
from w2s_pref.training.fit import FitJob
from w2s_pref.training.reward import Loss, SoftRewardTrainer, training_rows
from w2s_pref.training.trainer import Batch, callbacks, configuration

WARM_UP = 2


def toolkit(model: Any, tokenizer: Any, job: FitJob, kind: str, folder: Path) -> tuple[float, list[list[Any]]]:
    """Seconds a step of the trainer that ``fit`` runs, and the rows of every step as they came."""
    ends: list[float] = []
    job.progress = lambda *_: ends.append(clock(kind))
    batch = Batch.of(job.arguments)
    rows = training_rows(job.a_ids, job.b_ids, job.columns, batch.size)
    trainer = SoftRewardTrainer(
        model=model, args=configuration(RewardConfig, job, batch, folder, save_strategy="no", **batch.whole),
        rows=rows, at_once=batch.at_once, processing_class=tokenizer, callbacks=callbacks(job),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    order = [batch["batch"].rows for batch in trainer.get_train_dataloader()]
    return (ends[-1] - ends[WARM_UP - 1]) / (len(ends) - WARM_UP), order


def loop(model: Any, pad_id: int, order: list[list[Any]], job: FitJob, kind: str) -> float:
    """Seconds a step of a loop of a few lines."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=job.arguments["learning_rate"], weight_decay=0.0)
    schedule = get_scheduler("cosine", optimizer, 0, len(order))
    layout, most, ends = training_layout(model, pad_id), budget.tokens_at_once(model), []
    overhead = budget.overhead(model)
    model.train()
    for rows in order:
        for part in budget.split([row_length(row, layout) for row in rows], most, overhead, layout != "packed"):
            outputs = read_heads(model, collate([rows[at] for at in part], pad_id, layout).to(DEVICE))
            (softplus(outputs[1, :, 0] - outputs[0, :, 0]).sum() / len(rows)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        ends.append(clock(kind))
    return (ends[-1] - ends[WARM_UP - 1]) / (len(ends) - WARM_UP)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="1M", help="a shape of benchmarks/pairs.py, or a model's folder")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of HH pairs")
    for name, default in (("batch", 32), ("steps", 12), ("rounds", 5), ("threads", 1), ("max-length", 512)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="cpu")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet()
    rows = options.batch * (options.steps + WARM_UP)
    frame = frame_of(options.data, rows)
    tokenizer = tokenizer_of(options.model, frame)
    pairs = pairs_of(frame, tokenizer, rows, options.max_length)
    arguments = merged({"batch_size": options.batch, "learning_rate": 1.0e-4})
    columns = {"p": [1.0] * rows, "sign": [0.0] * rows}
    job = FitJob(pairs.a_ids, pairs.b_ids, columns, Loss(), arguments=arguments, seed=0)
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        if options.profile:
            return profiled(model_of(options.model, tokenizer, policy=False), tokenizer, job, Path(folder))
        for _ in range(options.rounds):
            mine, order = toolkit(
                model_of(options.model, tokenizer, policy=False), tokenizer, job, options.clock, Path(folder)
            )
            bare = model_of(options.model, tokenizer, policy=False)
            taken.append((mine, loop(bare, tokenizer.pad_token_id, order, job, options.clock)))
    print(machine(options.threads))
    ratio = median(mine / theirs for mine, theirs in taken)
    print(table([
        ("reward model, s a step", "hand-written loop", "toolkit", "overhead"),
        (options.model, median(theirs for _, theirs in taken), median(mine for mine, _ in taken), f"{ratio - 1:+.1%}"),
    ]))  # fmt: skip
    print(f"{options.batch} pairs a step, {options.clock} time, {options.rounds} rounds of {options.steps} steps:")
    print("overhead by round: " + ", ".join(f"{mine / theirs - 1:+.1%}" for mine, theirs in taken))


def profiled(model: Any, tokenizer: Any, job: FitJob, folder: Path) -> None:
    """Where the time of one training goes."""
    profile = cProfile.Profile()
    profile.enable()
    toolkit(model, tokenizer, job, "cpu", folder)
    profile.disable()
    pstats.Stats(profile).sort_stats("cumulative").print_stats(70)


if __name__ == "__main__":
    main()
