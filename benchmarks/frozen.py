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
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
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

#: A step, and the block in which it runs.
Variant = tuple[Callable[[list[Row]], float], Callable[[], AbstractContextManager[None]]]


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


@dataclass(frozen=True)
class Cut:
    """A model that is frozen up to ``layers``, its states of all rows, and the seconds a step to write them."""

    model: PreTrainedModel
    layers: int
    pad: int
    stored: states.States
    wrote: float

    def read(self) -> AbstractContextManager[None]:
        """Within the block the model starts from its states."""
        return states.read_by(self.model, self.layers, self.stored, self.pad)


def cut_of(model: PreTrainedModel, layers: int, rows: list[Row], pad: int, place: Path, steps: int) -> Cut:
    """States at ``layers`` of all rows, written and opened."""
    place.mkdir()
    start = time.process_time()
    states.write(model, layers, rows, pad, place)
    return Cut(model, layers, pad, states.read([place]), (time.process_time() - start) / steps)


def timed(variants: dict[str, Variant], rows: list[Row], pairs: int) -> dict[str, list[float]]:
    """Seconds of every step of every variant, the warm-up left out; variants take turns."""
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for start in range(0, len(rows), pairs):
        for name, (step, within) in variants.items():
            with within():
                taken[name].append(step(rows[start : start + pairs]))
    return {name: each[1:] for name, each in taken.items()}


def asked() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--layers", type=int, required=True, help="frozen ones")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of HH pairs")
    parser.add_argument("--pairs", type=int, default=16, help="a step")
    parser.add_argument("--steps", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    """Times the variants and prints their table."""
    given = asked()
    torch.set_num_threads(1)
    steps = given.steps + 1
    frame = frame_of(given.data, given.pairs * steps)
    tokenizer = tokenizer_of(given.model, frame)
    found, pad = pairs_of(frame, tokenizer, given.pairs * steps, 512), tokenizer.pad_token_id
    rows = [Row(both) for both in zip(found.a_ids, found.b_ids, strict=True)]
    whole, upper, top = (model_of(given.model, tokenizer, False) for _ in range(3))
    for model in (whole, upper, top):
        model.config.pad_token_id = pad
    frozen.freeze(upper, given.layers)
    top.base_model.requires_grad_(False)
    with tempfile.TemporaryDirectory() as work:
        behind = cut_of(upper, given.layers, rows, pad, Path(work) / "upper", steps)
        last = cut_of(top, len(frozen.layers_of(top)), rows, pad, Path(work) / "head", steps)
        cuts = {f"behind {given.layers} layers, states read": behind, "the head, states read": last}
        variants: dict[str, Variant] = {
            "all layers, rows not packed": (stepper(whole, pad, packed=False), nullcontext),
            "all layers": (stepper(whole, pad), nullcontext),
            f"behind {given.layers} layers, frozen ones computed": (stepper(upper, pad), nullcontext),
            **{name: (stepper(cut.model, pad), cut.read) for name, cut in cuts.items()},
        }
        taken = timed(variants, rows, given.pairs)
    report(taken, {name: cut.wrote for name, cut in cuts.items()})
    tokens = sum(row.tokens for row in rows) / steps
    print(f"\n{given.pairs} pairs a step, {tokens:.0f} tokens; {given.steps} steps after a warm-up")


def report(taken: dict[str, list[float]], wrote: dict[str, float]) -> None:
    """The table, and what many students cost that read states written once."""
    seconds = {name: median(each) for name, each in taken.items()}
    full = seconds["all layers"]
    print(machine(1) + "; processor time, float32\n")
    print(table([("trained", "s a step", "of all layers"), *((n, s, f"{s / full:.3f}") for n, s in seconds.items())]))
    for name, once in wrote.items():
        pairs = zip(taken[name], taken["all layers"], strict=True)
        shares = [(STUDENTS * own + once) / (STUDENTS * all_layers) for own, all_layers in pairs]
        print(
            f"\n{name}: {once:.2f} s a step to write states; {STUDENTS} students of one epoch cost "
            f"{median(shares):.3f} of {STUDENTS} trainings of all layers ({min(shares):.3f} to {max(shares):.3f})"
        )


if __name__ == "__main__":
    main()
