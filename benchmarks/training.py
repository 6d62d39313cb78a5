"""Speed of gradient training beside stock TRL and a hand-written padded loop: reward models and DPO on HH pairs.

    python benchmarks/training.py                          # both, on runs/lm/large or a Llama of 5 million
    python benchmarks/training.py reward --model 0.5B --bf16 --batch 64 --steps 10        # on a GPU

All variants see the same pairs in the same shuffled order and make the same updates (AdamW, clipping, cosine); the
losses of the first steps are printed beside each other and must agree. Stock TRL runs without gradient checkpointing,
in the same precision: the whole batch at once, ``--micro`` pairs at a time, and pair by pair. Its DPO runs the
reference model in every step; ours reads stored log-probabilities, whose one pass is timed apart. Rounds of all
variants in turn; a figure is the median of the rounds. Model FLOPs utilisation counts real tokens only, each variant's
own (ours meets a prompt once, and leaves out the last MLP where nothing reads it):

    MFU = (6 N T + 12 L d V + 6 h M) / (seconds x peak)

N parameters but the embedding, T tokens, L layers, d hidden size, V visible (query, key) pairs, h = d x vocabulary
where a language model's head reads M response tokens. ``--peak`` is the device's teraflops a second.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from pairs import DATA, SHAPES, frame_of, machine, pairs_of, table, tokenizer_of
from training_variants import VARIANTS, Run, reference_pass, useful_flops

from w2s_pref.training.fit import quiet

LARGE = Path(__file__).parent.parent / "runs" / "lm" / "large"
WARM_UP = 2
#: Students over which one reference pass is spread: one; the conflict settings of an arm; those of 2 arms and 3 seeds.
STUDENTS = (1, 3, 18)


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("reward", "dpo", "all"), nargs="?", default="all")
    parser.add_argument(
        "--model", default=str(LARGE) if LARGE.is_dir() else "5M", help=f"{', '.join(SHAPES)} or a folder"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of HH pairs")
    sizes = {"batch": 32, "micro": 8, "steps": 6, "rounds": 3, "threads": 2, "max-length": 512}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16, every variant")
    parser.add_argument("--attention", help="attention of every variant (sdpa, flex_attention, …)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--peak", type=float, default=989.0 if torch.cuda.is_available() else None)
    parser.add_argument("--tolerance", type=float, help="of a step's loss; default 1e-4, 2e-2 in bfloat16")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet()
    rows = options.batch * (options.steps + WARM_UP)
    frame = frame_of(options.data, rows)
    tokenizer = tokenizer_of(options.model, frame)
    run = Run(options, tokenizer, pairs_of(frame, tokenizer, rows, options.max_length), WARM_UP)
    print(machine(options.threads) + f"; {options.clock} time, {'bfloat16' if options.bf16 else 'float32'}\n")
    parts = ("reward", "dpo") if options.part == "all" else (options.part,)
    found = {part: measure(part, run) for part in parts}
    if options.json:
        given = {name: str(value) for name, value in vars(options).items()}
        options.json.write_text(json.dumps({"machine": machine(options.threads), "options": given, **found}, indent=1))


def measure(part: str, run: Run) -> dict[str, Any]:
    """Rounds of every variant in turn; prints the tables and returns what they hold."""
    seconds: dict[str, list[float]] = {}
    losses: dict[str, list[float]] = {}
    memory: dict[str, float] = {}
    passes = []
    variants: dict[str, Callable[[Run, Path], list[float]]] = VARIANTS[part]
    for _ in range(run.options.rounds):
        if part == "dpo":
            passes.append(reference_pass(run) / (run.options.steps + WARM_UP))
        for name, variant in variants.items():
            with tempfile.TemporaryDirectory() as folder:
                run.start()
                losses[name] = variant(run, Path(folder))
            seconds.setdefault(name, []).append(run.seconds_a_step())
            memory[name] = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    names = list(variants)
    print(
        table(
            [
                ("loss of step", *names),
                *((step + 1, *(f"{losses[name][step]:.5f}" for name in names)) for step in range(4)),
            ]
        )
        + "\n"
    )
    apart = max(abs(a - b) for name in names for a, b in zip(losses[name], losses[names[0]], strict=True))
    allowed = run.options.tolerance or (2e-2 if run.options.bf16 else 1e-4)
    assert apart <= allowed, f"the variants do not do the same: losses differ by {apart:.2g}"
    once = median(passes) if passes else 0.0
    lines = summary(part, run, seconds, memory, once)
    print(table(lines))
    print(f"\n{run.options.model}: {run.described()}; losses differ by {apart:.1e} at most\n", flush=True)
    return {"seconds_a_step": seconds, "losses": losses, "memory_gib": memory, "reference_pass_a_step": passes,
            "apart": apart, "table": [[str(cell) for cell in line] for line in lines]}  # fmt: skip


def summary(
    part: str, run: Run, seconds: dict[str, list[float]], memory: dict[str, float], once: float
) -> list[tuple[object, ...]]:
    """The table: seconds, ratio to stock TRL (median of the rounds' ratios), tokens, MFU, memory."""
    first, *_, ours = seconds
    lines: list[tuple[object, ...]] = [
        (part, "step, s", f"{first} / this", "tokens a second", "MFU", "peak memory, GiB")
    ]
    measured: dict[str, tuple[list[float], str]] = {name: (taken, name) for name, taken in seconds.items()}
    if once:
        for students in STUDENTS:
            name = f"{ours}, with a reference pass for {students} student{'s' * (students > 1)}"
            measured[name] = ([taken + once / students for taken in seconds[ours]], ours)
    for name, (taken, variant) in measured.items():
        ratio = median(theirs / mine for theirs, mine in zip(seconds[first], taken, strict=True))
        step, peak = median(taken), run.options.peak
        flops = useful_flops(run, part, shared=variant == ours)
        used = f"{flops / step / (peak * 1e12):.1%}" if peak else "–"
        lines.append((name, step, f"{ratio:.2f}", f"{run.tokens / step:,.0f}", used, memory[variant] or "–"))
    return lines


if __name__ == "__main__":
    main()
