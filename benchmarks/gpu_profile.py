"""Where a reward step's time goes on one GPU, and what remedies change: part of ``gpu.py``.

    python benchmarks/gpu_profile.py --json FILE [--seconds 100] [--model 1.5B] [--lengths helpful] [--tiny]

One model of random weights trains on the pairs of ``training.py`` (64 a step, HH lengths, bfloat16), as the toolkit
does it: in packed rows. Every variant runs the same steps; the second ``packed`` says what the first paid for a process
that has not loaded its kernels yet. ``WARM`` steps, then ``STEPS`` that are timed, then one under ``torch.profiler``.
All others are experiments, or what packed rows replaced (``shared rows``): their losses stand beside the first's, and
nothing here makes them a default. ``--tiny`` computes as a GPU would, in groups of rows, whatever the model's size.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pairs import DEVICE, SHAPES, body, drawn_pairs, machine, plain_tokenizer
from torch.profiler import ProfilerActivity, profile
from training_variants import Run, useful_flops
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import RewardConfig

from w2s_pref.models.batches import Layout
from w2s_pref.models.batches import batch as batches
from w2s_pref.models.batches import layout as layouts
from w2s_pref.training.compiled import Compiler, compiled
from w2s_pref.training.environment import quiet
from w2s_pref.training.fit import FitJob
from w2s_pref.training.reward import Loss, SoftRewardTrainer, training_rows
from w2s_pref.training.trainer import Batch, configuration

WARM, STEPS, TOP = 3, 10, 25
#: Kinds of kernels by words in their names, the first that fits.
KINDS = {
    "optimizer, clipping": r"adam|multi_tensor|lpnorm|foreach",
    "attention": r"fmha|flash|attention|sdpa|mem_eff|flex",
    "matmul": r"gemm|nvjet|cutlass|xmma|cublas|::addmm|::mm$|::bmm",
    "copies and casts": r"copy|memcpy|memset|_to_copy|catarray|fillfunctor",
    "compiled, fused": r"triton",
    "sums and norms": r"reduce|mean|softmax",
    "element by element": r"elementwise|vectorized|::mul|::add|::silu|::pow|::rsqrt|::neg",
}


@dataclass
class Variant:
    """What differs from the toolkit's own way.

    Attributes:
        arguments: of the training.
        layout: of its rows, where not the one that the toolkit chooses.
        compiled: decoder layers go through ``torch.compile`` one by one, as ``torch_compile: true`` has it.
        cudnn: SDPA may take cuDNN's kernels, which are planned for every new shape; torch's own choice.
        kernel: packed rows attend by torch's kernel for sequences of any length, or else in padded groups.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    layout: Layout | None = None
    compiled: bool = False
    cudnn: bool = True
    kernel: bool = True


#: The most telling first: the time may be short. No commas, by which ``gpu.py`` tells names apart.
VARIANTS = {
    "first packed": Variant(),
    "packed": Variant(),
    "packed compiled fused": Variant({"optim": "adamw_torch_fused"}, compiled=True),
    "packed in groups": Variant(kernel=False),
    "packed in groups compiled fused": Variant({"optim": "adamw_torch_fused"}, compiled=True, kernel=False),
    "shared rows": Variant(layout="shared"),
    "shared rows without cudnn": Variant(layout="shared", cudnn=False),
    "packed compiled": Variant(compiled=True),
    "packed fused": Variant({"optim": "adamw_torch_fused"}),
}


class Watch(TrainerCallback):  # type: ignore[misc]
    """Seconds of the timed steps, and one profiled step after them."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.profiler = profile(activities=[ProfilerActivity.CUDA if DEVICE == "cuda" else ProfilerActivity.CPU])
        self.wall = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """The last step is profiled."""
        if len(self.ends) == WARM + STEPS:
            self.profiler.start()
            self.wall = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called after the optimizer's update."""
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        if len(self.ends) == WARM + STEPS + 1:
            self.wall = self.ends[-1] - self.wall
            self.profiler.stop()

    @property
    def seconds(self) -> list[float]:
        """Of every timed step, data loading included."""
        return [after - before for before, after in zip(self.ends[WARM - 1 :], self.ends[WARM : WARM + STEPS])]  # noqa: B905


def kernels(profiler: Any) -> list[tuple[str, float, float]]:
    """Name, begin and end (ms) of what the device computed; without a GPU operators, each its own time."""
    found = []
    for event in profiler.events():
        begin, end = event.time_range.start / 1000, event.time_range.end / 1000
        if DEVICE != "cuda":
            found.append((event.name, begin, begin + event.self_cpu_time_total / 1000))
        elif event.device_type == torch.autograd.DeviceType.CUDA and not annotation(event):
            found.append((event.name, begin, end))
    return found


def annotation(event: Any) -> bool:
    """Named stretches, which cover kernels and the time between them."""
    return getattr(event, "is_user_annotation", False) or event.name.startswith(("Optimizer.", "ProfilerStep"))


def kind_of(name: str) -> str:
    """Which of ``KINDS``."""
    return next((kind for kind, words in KINDS.items() if re.search(words, name, re.IGNORECASE)), "others")


def shares(found: list[tuple[str, float, float]], wall: float) -> dict[str, Any]:
    """Milliseconds by kind, what no kernel covers as ``idle``, and the kernels that take most."""
    by_name: Counter[str] = Counter()
    calls = Counter(name for name, *_ in found)
    by_kind: Counter[str] = Counter()
    busy, reached = 0.0, float("-inf")
    for name, begin, end in sorted(found, key=lambda each: each[1]):
        by_name[name] += end - begin  # type: ignore[assignment]
        by_kind[kind_of(name)] += end - begin  # type: ignore[assignment]
        busy += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    by_kind["idle"] = wall - busy  # type: ignore[assignment]
    top = [[name[:110], kind_of(name), calls[name], spent] for name, spent in by_name.most_common(TOP)]
    return {"wall_ms": wall, "by_kind": dict(by_kind.most_common()), "top": top, "kernels": len(found)}


def measured(run: Run, model: Any, variant: Variant) -> dict[str, Any]:
    """Seconds of the steps, losses, GiB, MFU, and where the time goes."""
    job = FitJob(run.pairs.a_ids, run.pairs.b_ids, run.columns, Loss(), arguments=run.arguments, seed=0)
    batch, watch = Batch.of({**job.arguments, **variant.arguments}), Watch()
    compiler = Compiler("inductor" if DEVICE == "cuda" else "aot_eager") if variant.compiled else None
    torch.backends.cuda.enable_cudnn_sdp(variant.cudnn)
    torch.backends.cuda.enable_flash_sdp(variant.kernel)
    with tempfile.TemporaryDirectory() as folder:
        config = configuration(RewardConfig, job, batch, Path(folder), save_strategy="no", **batch.whole)
        rows = training_rows(job.a_ids, job.b_ids, job.columns, batch.size)
        trainer = SoftRewardTrainer(model=model, rows=rows, args=config, at_once=batch.at_once,
                                    processing_class=run.tokenizer, callbacks=[watch])  # fmt: skip
        trainer._layout = variant.layout or trainer._layout
        trainer.remove_callback(PrinterCallback)
        with compiled(model, compiler):
            trainer.train()
    step = median(watch.seconds)
    mean = sum(watch.seconds) / STEPS
    flops, peak = useful_flops(run, "reward", shared=True), run.options.peak
    return {
        "step_s": mean, "median_s": step, "seconds": watch.seconds, "mfu": flops / mean / (peak * 1e12),
        "gib": torch.cuda.max_memory_allocated() / 2**30 if DEVICE == "cuda" else 0.0,
        "layout": trainer._layout,
        "positions": trainer.totals()["forward_tokens"] / len(watch.ends),
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        **shares(kernels(watch.profiler), 1000 * watch.wall),
    }  # fmt: skip


def prepared(options: argparse.Namespace) -> Run:
    """The pairs of ``training.py --lengths helpful``."""
    name, batch = ("1M", 4) if options.tiny else (options.model, 64)
    given = argparse.Namespace(model=name, batch=batch, learning_rate=1e-5, bf16=True, attention=None, rounds=1,
                               steps=STEPS, peak=options.peak)  # fmt: skip
    lengths, vocabulary = ("harmless", 4096) if options.tiny else (options.lengths, SHAPES[options.model][-1])
    return Run(given, plain_tokenizer(), drawn_pairs(lengths, batch * (WARM + STEPS + 1), vocabulary, 512), WARM)


def main() -> None:
    """One variant after the other, until the time is used up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--model", default="1.5B")
    parser.add_argument("--lengths", choices=("helpful", "harmless"), default="helpful", help="of the pairs' texts")
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--peak", type=float, default=989.0, help="teraflops a second")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    quiet()
    if options.tiny:
        layouts.PACKED_FROM, batches.GROUPED_ON = 1, ("cuda", "cpu")
    run, begun = prepared(options), time.monotonic()
    found: dict[str, Any] = {"machine": machine(torch.get_num_threads()), "peak": options.peak, "variants": {}}
    found["parameters"] = body(run.shapes[False])
    for name in options.variants:
        variant = VARIANTS[name]
        if time.monotonic() - begun > options.seconds:
            found["variants"][name] = {"error": "left out, the time is used up"}
            continue
        run.start()
        found["variants"][name] = attempted(lambda variant=variant: measured(run, run.model(False), variant))  # type: ignore[misc]
        print(name, {k: v for k, v in found["variants"][name].items() if k not in ("top", "losses")}, flush=True)
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def attempted(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A variant that fails leaves its error."""
    try:
        return measure()
    except Exception:
        return {"error": traceback.format_exc()[-1500:]}
    finally:
        gc.collect()


if __name__ == "__main__":
    main()
