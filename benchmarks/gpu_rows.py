"""Rows with a shared prompt on one GPU: SDPA's dense mask beside FlexAttention's block mask; part of ``gpu.py``.

    python benchmarks/gpu_rows.py --json FILE [--seconds 60] [--only speed] [--tiny]

``exact``: heads and gradients of padded texts and of shared rows, by either attention, against float64; ``speed``:
forward and backward of four layers of Qwen2.5's 0.5 and 1.5 B shapes in bfloat16, 16,384 tokens a batch, by width of a
row (60 % prompt); ``choice``: what the toolkit chooses by itself for long texts, and what each new width costs it.
Every measurement stands alone: one that fails leaves its error in the file.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pairs import DEVICE, clock
from torch import Tensor
from torch.nn.functional import softplus
from transformers import AutoModelForSequenceClassification, Qwen2Config

from w2s_pref.models.batches import Layout, Row, collate, layout_of, read_heads

#: Hidden size, intermediate size, heads, key-value heads.
SHAPES = {"0.5B": (896, 4864, 14, 2), "1.5B": (1536, 8960, 12, 2), "tiny": (64, 128, 4, 2)}
VOCABULARY, PAD = 1000, 0
#: Layout and attention of what is compared; the first is what stock code computes.
FORMS: dict[str, tuple[Layout, str]] = {
    "padded, SDPA": ("padded", "sdpa"), "shared, SDPA": ("shared", "sdpa"), "shared, Flex": ("shared", "flex_attention")
}  # fmt: skip
REPEATS = 5


def model_of(shape: str, layers: int) -> Any:
    """A reward model with seeded random weights."""
    hidden, inner, heads, groups = SHAPES[shape]
    torch.manual_seed(0)
    config = Qwen2Config(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=groups, vocab_size=VOCABULARY, max_position_embeddings=16384, num_labels=1,
        pad_token_id=PAD, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    with torch.device(DEVICE):
        return AutoModelForSequenceClassification.from_config(config)


def rows_of(width: int, count: int, spread: float = 0.0) -> list[Row]:
    """Pairs whose shared row takes ``width`` tokens, 60 % of them prompt; ``spread``: how much shorter some are."""
    draw = torch.Generator().manual_seed(0)
    rows = []
    for number in range(count):
        size = width - int(spread * width * number / count)
        prompt, answer = int(0.6 * size), int(0.2 * size)
        ids = torch.randint(2, VOCABULARY, (prompt + 2 * answer,), generator=draw).tolist()
        rows.append(Row(((ids[: prompt + answer]), ids[:prompt] + ids[prompt + answer :])))
    return rows


def forms() -> list[str]:
    """Those that run here: on a CPU FlexAttention has no backward pass."""
    return [form for form, (_, attention) in FORMS.items() if DEVICE == "cuda" or attention == "sdpa"]


def step(model: Any, rows: list[Row], form: str, bf16: bool) -> tuple[Tensor, Tensor]:
    """Rewards (K, R) and all gradients in one row."""
    layout, attention = FORMS[form]
    model.set_attn_implementation(attention)
    model.zero_grad(set_to_none=True)
    with torch.autocast(DEVICE, torch.bfloat16, enabled=bf16):
        heads = read_heads(model, collate(rows, PAD, layout).to(DEVICE))[..., 0]
    softplus(heads[1] - heads[0]).mean().backward()
    return heads.detach(), torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


def distance(found: Tensor, truth: Tensor) -> float:
    """Norm of the difference over the norm of the truth."""
    return float((found.double() - truth).norm() / truth.norm())


def exact(shape: str, bf16: bool) -> dict[str, Any]:
    """Errors against float64. Both attentions round the same sums in another order, so neither should err by much more
    than stock padded code does: four times, for the spread of two draws of an error; 2 rounding errors at least."""
    model, rows = model_of(shape, 2), rows_of(520 if DEVICE == "cuda" else 40, 6, spread=0.5)
    truth = _in_float64(model, rows)
    errors: dict[str, list[float]] = {}
    failed = {}
    for form in forms():
        try:
            found = step(model, rows, form, bf16)
            errors[form] = [distance(one, other) for one, other in zip(found, truth, strict=True)]
        except Exception:
            failed[form] = traceback.format_exc()[-1500:]
    least = 2 * torch.finfo(torch.bfloat16 if bf16 else torch.float32).eps
    bounds = [max(4 * error, least) for error in errors["padded, SDPA"]]
    good = {form: all(e <= b for e, b in zip(each, bounds, strict=True)) for form, each in errors.items()}
    return {"errors": errors, "bounds": bounds, "within": good, "failed": failed}


def _in_float64(model: Any, rows: list[Row]) -> tuple[Tensor, Tensor]:
    """Heads and gradients of padded texts in float64 (but for norms, which transformers computes in 32 bits)."""
    twin = copy.deepcopy(model).double()
    twin.set_attn_implementation("eager")
    seen: list[Tensor] = []
    handle = twin.score.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    batch = collate(rows, PAD, "padded").to(DEVICE)
    twin(input_ids=batch.input_ids, attention_mask=(batch.segments == 0).long(), use_cache=False)
    handle.remove()
    heads = seen[0].flatten(0, 1)[batch.last.flatten()].view(*batch.last.shape)
    softplus(heads[1] - heads[0]).mean().backward()
    return heads.detach(), torch.cat([each.grad.flatten() for each in twin.parameters() if each.grad is not None])


def speed(shape: str, width: int, form: str, tokens: int) -> dict[str, Any]:
    """Median milliseconds of forward and backward, seconds of the first (compiling) call, GiB at most."""
    torch._dynamo.reset()  # behind its limit of kernels FlexAttention would be measured uncompiled
    model, rows = model_of(shape, 4).train(), rows_of(width, max(1, tokens // width))
    begun = clock("wall")
    step(model, rows, form, bf16=True)
    first = clock("wall") - begun
    step(model, rows, form, bf16=True)
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
    taken = []
    for _ in range(REPEATS):
        begun = clock("wall")
        step(model, rows, form, bf16=True)
        taken.append(1000 * (clock("wall") - begun))
    memory = torch.cuda.max_memory_allocated() / 2**30 if DEVICE == "cuda" else 0.0
    return {"ms": median(taken), "least": min(taken), "most": max(taken), "first_s": first, "gib": memory,
            "frames": dict(torch._dynamo.utils.counters["frames"])}  # fmt: skip


@contextmanager
def heard() -> Iterator[list[str]]:
    """Lines that the toolkit, torch and transformers log."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(f"{record.name}: {record.getMessage()}"[:400])  # type: ignore[method-assign]
    names = ("w2s_pref", "torch", "transformers")
    for name in names:
        logging.getLogger(name).addHandler(handler)
    try:
        yield lines
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(handler)


def choice(widths: list[int]) -> dict[str, Any]:
    """What ``layout_of`` makes of long texts, and training steps of one width after another."""
    model = model_of("0.5B" if DEVICE == "cuda" else "tiny", 2)
    found: dict[str, Any] = {"steps": []}
    with heard() as lines:
        begun = clock("wall")
        found["layout"] = layout_of(model, PAD, longest=max(widths))
        found["check_s"] = clock("wall") - begun
        found["attention"] = model.config._attn_implementation
        model.train()
        for width in widths:
            begun = clock("wall")
            with torch.autocast(DEVICE, torch.bfloat16):
                heads = read_heads(model, collate(rows_of(width, 2), PAD, found["layout"]).to(DEVICE))[..., 0]
            softplus(heads[1] - heads[0]).mean().backward()
            found["steps"].append([width, clock("wall") - begun])
        found["graphs"] = dict(torch._dynamo.utils.counters["stats"])
        found["breaks"] = dict(torch._dynamo.utils.counters["graph_break"])
    return found | {"logged": lines}


def plan(tiny: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """Measurements by name, the most important first."""
    calls: dict[str, Callable[[], dict[str, Any]]] = {}
    for shape, bf16 in product(["tiny"] if tiny else ["0.5B", "1.5B"], (True, False)):
        calls[f"exact {shape} {'bf16' if bf16 else 'fp32'}"] = partial(exact, shape, bf16)
    calls["choice"] = partial(choice, [60, 64] if tiny else [4100, 4600, 4601, 5000, 5333, 6000, 4100])
    widths = [32] if tiny else [4096, 2048, 8192, 1024]
    for shape, width, form in product(["tiny"] if tiny else ["1.5B", "0.5B"], widths, reversed(forms())):
        calls[f"speed {shape} {width} {form}"] = partial(speed, shape, width, form, 64 if tiny else 16384)
    return calls


def main() -> None:
    """Measure one after the other, until the time is used up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", choices=("exact", "choice", "speed"))
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    begun, found = time.monotonic(), {}
    for name, measure in plan(options.tiny).items():
        if options.only and name.split()[0] not in options.only:
            continue
        if time.monotonic() - begun > options.seconds:
            found[name] = {"error": "left out, the time is used up"}
            continue
        try:
            found[name] = measure()
        except Exception:
            found[name] = {"error": traceback.format_exc()[-1500:]}
        gc.collect()
        if DEVICE == "cuda":
            torch.cuda.empty_cache()
        print(name, found[name], flush=True)
        options.json.write_text(json.dumps(found, indent=1, default=str), encoding="utf-8")
    options.json.write_text(json.dumps(found, indent=1, default=str), encoding="utf-8")


if __name__ == "__main__":
    main()
