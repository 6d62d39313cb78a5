"""Speed of gradient training beside stock TRL and a hand-written padded loop: reward models and DPO on HH pairs.

    python benchmarks/training.py                          # both, on runs/lm/large or a Llama of 5 million
    python benchmarks/training.py reward --model 0.5B --bf16 --batch 64 --steps 10        # on a GPU
    python benchmarks/training.py --lengths helpful       # random tokens, lengths of HH pairs: no data needed

All variants see the same pairs in the same shuffled order and make the same updates (AdamW, clipping, cosine); the
losses of the first steps are printed beside each other and must agree. Stock TRL runs without gradient checkpointing,
in the same precision: the whole batch at once, ``--micro`` pairs at a time, and pair by pair. Its DPO runs the
reference model in every step; ours reads stored log-probabilities, whose one pass is timed apart. Rounds of all
variants in turn, ours first, none begun after ``--seconds``; a figure is the median of the rounds but the first
``--discard``: on a GPU the first variant of a process loads the kernels for all. A variant that needs
more memory than the device has, or fails, is said to, and the others go on. Model FLOPs utilisation counts real tokens
only, each variant's own (ours meets a prompt once, and leaves out the last MLP where nothing reads it):

    MFU = (6 N T + 12 L d V + 6 h M) / (seconds x peak)

N parameters but the embedding, T tokens, L layers, d hidden size, V visible (query, key) pairs, h = d x vocabulary
where a language model's head reads M response tokens. ``--peak`` is the device's teraflops a second.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from pairs import (
    DATA,
    QUANTILES,
    SHAPES,
    drawn_pairs,
    frame_of,
    machine,
    pairs_of,
    plain_tokenizer,
    table,
    tokenizer_of,
)
from training_variants import Run, reference_pass, useful_flops, variants

from w2s_pref.training.environment import quiet

LARGE = Path(__file__).parent.parent / "runs" / "lm" / "large"
WARM_UP = 2
#: Students over which one reference pass is spread: one; the conflict settings of an arm; those of 2 arms and 3 seeds.
STUDENTS = (1, 3, 18)
Variant = Callable[[Run, Path], list[float]]


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("reward", "dpo", "all"), nargs="?", default="all")
    parser.add_argument(
        "--model", default=str(LARGE) if LARGE.is_dir() else "5M", help=f"{', '.join(SHAPES)} or a folder"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of HH pairs")
    parser.add_argument("--lengths", choices=list(QUANTILES), help="random tokens with such lengths instead of data")
    sizes = {"batch": 32, "steps": 6, "rounds": 3, "threads": 2, "max-length": 512}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=positive, default=default)
    parser.add_argument("--discard", type=int, default=0)
    parser.add_argument("--micro", type=int, nargs="+", default=[8], help="pairs at a time of TRL and the padded loop")
    parser.add_argument(
        "--tokens", type=int, nargs="*", default=[], help="tokens at once of ours, beside its own choice"
    )
    parser.add_argument("--variants", nargs="+", help="only those whose names hold one of these words")
    parser.add_argument("--learning-rate", type=float, default=1.0e-4)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no variant after so many")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16, every variant")
    parser.add_argument("--attention", help="attention of every variant (sdpa, flex_attention, …)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--peak", type=float, default=989.0 if torch.cuda.is_available() else None)
    parser.add_argument("--tolerance", type=float, help="of a step's loss; default 1e-4, 2e-2 in bfloat16")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet()
    run = prepared(options)
    print(machine(options.threads) + f"; {options.clock} time, {'bfloat16' if options.bf16 else 'float32'}\n")
    given = {name: str(value) for name, value in vars(options).items()}
    found: dict[str, Any] = {"machine": machine(options.threads), "options": given}
    parts = ("reward", "dpo") if options.part == "all" else (options.part,)
    for part in parts:
        found[part] = {}

        def keep(measured: dict[str, Any], part: str = part) -> None:
            found[part] |= measured
            if options.json:
                options.json.write_text(json.dumps(found, indent=1))

        measure(part, run, keep)
    wrong = [f"{part}: {problem}" for part in parts for problem in found[part]["problems"]]
    if wrong:
        raise SystemExit("\n".join(wrong))


def positive(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"should be at least 1, but this is {number}")
    return number


def prepared(options: argparse.Namespace) -> Run:
    """Pairs and tokenizer: real ones, or random tokens with real lengths."""
    rows = options.batch * (options.steps + WARM_UP)
    if options.lengths:
        vocabulary = SHAPES[options.model][-1] if options.model in SHAPES else 1000
        pairs = drawn_pairs(options.lengths, rows, vocabulary, options.max_length)
        return Run(options, plain_tokenizer(), pairs, WARM_UP)
    frame = frame_of(options.data, rows)
    tokenizer = tokenizer_of(options.model, frame)
    return Run(options, tokenizer, pairs_of(frame, tokenizer, rows, options.max_length), WARM_UP)


@dataclass
class Measured:
    """What the variants took, by name: every round's seconds a step, the last round's losses, GiB at most."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    losses: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    passes: list[float] = field(default_factory=list)

    def take(self, name: str, variant: Variant, run: Run, counted: bool) -> None:
        """One round of one variant; what goes wrong is noted, what it took only where that counts."""
        run.start()
        try:
            with tempfile.TemporaryDirectory() as folder:
                self.losses[name] = variant(run, Path(folder))
            self.seconds.setdefault(name, []).extend([run.seconds_a_step()] if counted else [])
            self.memory[name] = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
        except torch.OutOfMemoryError:
            self.failed[name] = "out of memory"
        except Exception:
            self.failed[name] = traceback.format_exc()

    @property
    def apart(self) -> float:
        """Most that two variants' losses of a step differ by."""
        every = list(self.losses.values())
        return max((abs(a - b) for other in every for a, b in zip(other, every[0], strict=True)), default=0.0)


def measure(part: str, run: Run, keep: Callable[[dict[str, Any]], None]) -> None:
    """Rounds of every variant in turn; prints the tables and tells ``keep``, after each variant, what they hold."""
    done, options, begun = Measured(), run.options, time.monotonic()
    each = variants(part, options)
    for number in range(options.discard + options.rounds):
        if part == "dpo":
            done.passes.append(reference_pass(run) / (options.steps + WARM_UP))
        for name, variant in reversed(each.items()):
            late = time.monotonic() - begun > options.seconds
            if name not in done.failed and not late:
                done.take(name, variant, run, counted=number >= options.discard)
                keep({**vars(done), "apart": done.apart, "problems": ["stopped in the middle"]})
    done.seconds = {name: taken for name, taken in done.seconds.items() if taken}
    names = [name for name in each if name in done.seconds]
    steps = range(min(4, *(len(done.losses[name]) for name in names)) if names else 0)
    head = [("loss of step", *names)]
    print(table([*head, *((step + 1, *(f"{done.losses[name][step]:.5f}" for name in names)) for step in steps)]) + "\n")
    lines = summary(part, run, done)
    print(table(lines))
    print(f"\n{options.model}: {run.described()}; losses differ by {done.apart:.1e} at most\n", flush=True)
    allowed = options.tolerance or (2e-2 if options.bf16 else 1e-4)
    problems = [f"{name}: {said}" for name, said in done.failed.items() if said != "out of memory"]
    if not done.apart <= allowed:
        problems.append(f"the variants do not do the same: losses differ by {done.apart:.2g}")
    cells = [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in line] for line in lines]
    told = {"table": cells, "described": run.described(), "model": options.model}
    keep({"apart": done.apart, "problems": problems, **told})


def summary(part: str, run: Run, done: Measured) -> list[tuple[object, ...]]:
    """The table: seconds, ratios to stock TRL (medians of the rounds), tokens, MFU, memory."""
    names = list(variants(part, run.options))
    first, ours = names[0], names[-1]
    stock = [median(taken) for name, taken in done.seconds.items() if name.startswith("TRL")]
    lines: list[tuple[object, ...]] = [
        (part, "step, s", f"{first} / this", "best TRL / this", "tokens a second", "MFU", "peak memory, GiB")
    ]
    measured: dict[str, tuple[list[float], str]] = {n: (done.seconds[n], n) for n in names if n in done.seconds}
    if done.passes and ours in measured:
        for students in STUDENTS:
            name = f"{ours}, with a reference pass for {students} student{'s' * (students > 1)}"
            measured[name] = ([taken + median(done.passes) / students for taken in done.seconds[ours]], ours)
    for name, (taken, variant) in measured.items():
        step, peak, whole = median(taken), run.options.peak, done.seconds.get(first, [])
        ratio = f"{median(a / b for a, b in zip(whole, taken, strict=False)):.2f}" if whole else "–"
        best = f"{min(stock) / step:.2f}" if stock else "–"
        flops = useful_flops(run, part, shared=variant.startswith("w2s-pref"))
        used = f"{flops / step / (peak * 1e12):.1%}" if peak else "–"
        lines.append((name, step, ratio, best, f"{run.tokens / step:,.0f}", used, done.memory[variant] or "–"))
    wrong = {name: said.strip().splitlines()[-1] for name, said in done.failed.items()}
    return lines + [(name, said, *["–"] * 5) for name, said in wrong.items()]


if __name__ == "__main__":
    main()
