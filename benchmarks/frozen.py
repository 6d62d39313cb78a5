"""One training step of a reward model, in processor time: all layers trained, some frozen, and their states read.

``python benchmarks/frozen.py --model FOLDER --layers 24``: AdamW in float32 on made-up pairs with shared prompts.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel

from w2s_pref.models import frozen, states
from w2s_pref.models.batches import Row, collate, layout_of, read_heads
from w2s_pref.models.load import load_base
from w2s_pref.models.spec import ModelSpec


def pairs(count: int, words: int, last: int) -> list[Row]:
    """Pairs of 40 to 160 tokens a text, about half of it prompt."""
    draw = random.Random(0)

    def text(low: int, high: int) -> list[int]:
        return [draw.randrange(words // 100, words) for _ in range(draw.randint(low, high))]

    prompts = [text(20, 100) for _ in range(count)]
    return [Row(tuple((*prompt, *text(20, 60), last) for _ in range(2))) for prompt in prompts]


def seconds(model: PreTrainedModel, rows: list[Row], pad: int, steps: int) -> float:
    """Median processor seconds of a step, after one that is not counted."""
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-6)
    batch, times = collate(rows, pad, layout_of(model, pad, 200)), []
    model.train()
    for _ in range(steps + 1):
        start = time.process_time()
        heads = read_heads(model, batch)
        (-logsigmoid(heads[0] - heads[1]).mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.process_time() - start)
    return statistics.median(times[1:])


def measure(name: str, model: PreTrainedModel, cut: int, rows: list[Row], pad: int, steps: int) -> None:
    """A line of the table: with frozen layers computed, then with their states read, and what the states cost."""
    computed = seconds(model, rows, pad, steps)
    with tempfile.TemporaryDirectory() as work:
        start = time.process_time()
        states.write(model, cut, rows, pad, Path(work))
        wrote, size = time.process_time() - start, (Path(work) / states.STATES).stat().st_size
        with states.read_by(model, cut, states.read([Path(work)]), pad):
            read = seconds(model, rows, pad, steps)
    print(f"| {name} | {computed:.2f} | {read:.2f} | {wrote:.2f} | {size / 1e6:.1f} |", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--layers", type=int, required=True, help="frozen ones")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1)
    given = parser.parse_args()
    model, tokenizer = load_base(ModelSpec(path=given.model), Path(), 0)
    rows = pairs(given.pairs, int(model.config.vocab_size) * 9 // 10, tokenizer.eos_token_id or 1)
    pad, every = tokenizer.pad_token_id, len(frozen.layers_of(model))
    print(f"{given.pairs} pairs, {sum(row.tokens for row in rows)} tokens, {torch.get_num_threads()} thread")
    print("| trained | s a step, frozen layers computed | states read | s to write them | MB |\n|---|---|---|---|---|")
    print(f"| all of {every} layers | {seconds(model, rows, pad, given.steps):.2f} | | | |", flush=True)
    frozen.freeze(model, given.layers)
    measure(f"behind {given.layers} layers", model, given.layers, rows, pad, given.steps)
    model.base_model.requires_grad_(False)
    measure("the head", model, every, rows, pad, given.steps)


if __name__ == "__main__":
    main()
