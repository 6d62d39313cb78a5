"""Steps of reward models in processor time: all layers trained, those behind frozen ones, and with their states read.

``python benchmarks/frozen.py --model FOLDER --layers 24``: what a training does in a step (rows, micro-batches,
clipping, AdamW, float32) on HH pairs, other ones in every step. Variants take turns, step by step; the first is a
warm-up. The last lines count what 18 students of so many steps cost: one pass that writes the states, and their steps.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import torch
from pairs import DATA, frame_of, machine, model_of, pairs_of, table, tokenizer_of
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel

from w2s_pref.models import frozen, states
from w2s_pref.models.batches import Row, budget, collate, layout_of, read_heads, training_layout

#: Two arms, three conflicts, three seeds.
STUDENTS = 18


def stepper(model: PreTrainedModel, pad: int, packed: bool = True) -> Callable[[list[Row]], float]:
    """Processor seconds of one update on some pairs; ``packed``: rows one behind the other where that is chosen."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer, most = torch.optim.AdamW(trained, lr=1e-6, weight_decay=0.0), budget.tokens_at_once(model)
    layout = (training_layout if packed else layout_of)(model, pad, 512)
    model.train()

    def step(rows: list[Row]) -> float:
        start, sizes = time.process_time(), [row.tokens for row in rows]
        for group in budget.split(sizes, most, budget.overhead(model), padded=layout != "packed"):
            heads = read_heads(model, collate([rows[row] for row in group], pad, layout))
            (-logsigmoid(heads[0] - heads[1]).sum() / len(rows)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - start

    return step


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--layers", type=int, required=True, help="frozen ones")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of HH pairs")
    parser.add_argument("--pairs", type=int, default=16, help="a step")
    parser.add_argument("--steps", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    total = given.pairs * (given.steps + 1)
    frame = frame_of(given.data, total)
    tokenizer = tokenizer_of(given.model, frame)
    found, pad = pairs_of(frame, tokenizer, total, 512), tokenizer.pad_token_id
    rows = [Row(both) for both in zip(found.a_ids, found.b_ids, strict=True)]
    whole, upper, top = (model_of(given.model, tokenizer, False) for _ in range(3))
    for model in (whole, upper, top):
        model.config.pad_token_id = pad
    frozen.freeze(upper, given.layers)
    top.base_model.requires_grad_(False)
    cuts = {"upper": (upper, given.layers), "head": (top, len(frozen.layers_of(top)))}
    with tempfile.TemporaryDirectory() as work:
        wrote, stored = {}, {}
        for name, (model, cut) in cuts.items():
            place, start = Path(work) / name, time.process_time()
            place.mkdir()
            states.write(model, cut, rows, pad, place)
            wrote[name] = (time.process_time() - start) / (given.steps + 1)
            stored[name] = states.read([place])
        first, last = f"behind {given.layers} layers", "the head"
        plain = {
            "all layers, rows not packed": (stepper(whole, pad, packed=False), nullcontext),
            "all layers": (stepper(whole, pad), nullcontext),
            f"{first}, frozen ones computed": (stepper(upper, pad), nullcontext),
            f"{first}, states read": (
                stepper(upper, pad),
                lambda: states.read_by(upper, given.layers, stored["upper"], pad),
            ),
            f"{last}, states read": (
                stepper(top, pad),
                lambda: states.read_by(top, cuts["head"][1], stored["head"], pad),
            ),
        }
        taken: dict[str, list[float]] = {name: [] for name in plain}
        for number in range(given.steps + 1):
            part = rows[number * given.pairs : (number + 1) * given.pairs]
            for name, (step, within) in plain.items():
                with within():
                    taken[name].append(step(part))
    seconds = {name: median(each[1:]) for name, each in taken.items()}
    full = seconds["all layers"]
    print(machine(1) + "; processor time, float32\n")
    print(table([("trained", "s a step", "of all layers"), *((n, s, f"{s / full:.3f}") for n, s in seconds.items())]))
    for key, name in (("upper", f"{first}, states read"), ("head", f"{last}, states read")):
        pairs = zip(taken[name][1:], taken["all layers"][1:], strict=True)
        shares = [(STUDENTS * own + wrote[key]) / (STUDENTS * all_layers) for own, all_layers in pairs]
        print(
            f"\n{name}: {wrote[key]:.2f} s a step to write states; {STUDENTS} students of one epoch cost "
            f"{median(shares):.3f} of {STUDENTS} trainings of all layers ({min(shares):.3f} to {max(shares):.3f})"
        )
    tokens = sum(row.tokens for row in rows) / (given.steps + 1)
    print(f"\n{given.pairs} pairs a step, {tokens:.0f} tokens; {given.steps} steps after a warm-up")


if __name__ == "__main__":
    main()
