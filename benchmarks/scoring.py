"""Speed of scoring and of response log-probabilities: texts by length and shared prompts, against padded data order.

    python benchmarks/scoring.py                  # both, on runs/lm/large or a Llama of 5 million
    python benchmarks/scoring.py --model 1M --pairs 600 --clock cpu

Same model, same HH pairs, rounds of all variants in turn; a ratio is the median of the rounds' ratios. The benchmark
fails where scores of two variants differ by more than 1e-4, or log-probabilities (sums over answers) by more than 2e-3.
*padded, data order* is the usual loop: 32 texts at a time, and for log-probabilities the logits of every position.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from pairs import DATA, SHAPES, Pairs, clock, frame_of, machine, model_of, pairs_of, table, tokenizer_of

from w2s_pref.models.batches import Row
from w2s_pref.models.batches.read import count_forward, counting
from w2s_pref.models.scoring import logprob_ids, row_logprobs, row_outputs, score_ids

LARGE = Path(__file__).parent.parent / "runs" / "lm" / "large"
AT_ONCE = 32
Variants = dict[str, Callable[[], np.ndarray]]


def padded(texts: list[list[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of texts, padded on the right to the longest."""
    width = max(map(len, texts))
    ids = torch.tensor([text + [pad_id] * (width - len(text)) for text in texts])
    return ids, torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])


@torch.no_grad()
def scores_in_data_order(model: Any, texts: list[list[int]], pad_id: int) -> np.ndarray:
    """The usual loop over batches as they come."""
    done = []
    for start in range(0, len(texts), AT_ONCE):
        ids, mask = padded(texts[start : start + AT_ONCE], pad_id)
        count_forward(ids.numel(), int(mask.sum()))
        output = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False)
        done.append(output.logits[:, 0].float().cpu())
    return torch.cat(done).double().numpy()


@torch.no_grad()
def logprobs_in_data_order(model: Any, texts: list[list[int]], starts: list[int], pad_id: int) -> np.ndarray:
    """The usual loop: logits of all positions, log-softmax, gather, mask, sum."""
    done = []
    for at in range(0, len(texts), AT_ONCE):
        ids, mask = (each.to(model.device) for each in padded(texts[at : at + AT_ONCE], pad_id))
        count_forward(ids.numel(), int(mask.sum()))
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        steps = torch.log_softmax(logits, dim=-1).gather(2, ids[:, 1:, None])[..., 0]
        answers = (
            torch.arange(1, ids.shape[1], device=ids.device)
            >= torch.tensor(starts[at : at + AT_ONCE], device=ids.device)[:, None]
        )
        done.append((steps * (answers & mask[:, 1:].bool())).double().sum(1).cpu())
    return torch.cat(done).numpy()


def variants(part: str, model: Any, pairs: Pairs, pad_id: int) -> Variants:
    """Values of the same texts, a and b in turn, computed in three ways."""
    texts = [ids for pair in zip(pairs.a_ids, pairs.b_ids, strict=True) for ids in pair]
    starts = [start for start in pairs.starts for _ in "ab"]
    both = [Row((a, b), (at, at)) for a, b, at in zip(pairs.a_ids, pairs.b_ids, pairs.starts, strict=True)]
    if part == "scores":
        return {
            "padded, data order": lambda: scores_in_data_order(model, texts, pad_id),
            "by length": lambda: score_ids(model, texts, pad_id),
            "by length, shared prompts": lambda: row_outputs(model, both, pad_id)[:, 0],
        }
    return {
        "padded, data order": lambda: logprobs_in_data_order(model, texts, starts, pad_id),
        "by length": lambda: logprob_ids(model, texts, starts, pad_id),
        "by length, shared prompts": lambda: row_logprobs(model, both, pad_id),
    }


def measure(part: str, model: Any, pairs: Pairs, pad_id: int, options: argparse.Namespace) -> None:
    """Rounds of all variants in turn; prints a table."""
    ways = variants(part, model, pairs, pad_id)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    values, tokens = {}, {}
    ways["by length, shared prompts"]()  # decides on the layout
    for _ in range(options.rounds):
        for name, way in ways.items():
            with counting() as seen:
                started = clock(options.clock)
                values[name] = way()
                seconds[name].append(clock(options.clock) - started)
            tokens[name] = seen
    first = next(iter(ways))
    lines: list[tuple[object, ...]] = [(part, "pairs a second", f"{first} / this", "positions", "of them real")]
    for name, taken in seconds.items():
        ratio = median(theirs / mine for theirs, mine in zip(seconds[first], taken, strict=True))
        seen = tokens[name]
        lines.append((name, f"{len(pairs) / median(taken):.0f}", f"{ratio:.2f}", f"{seen.positions:,}",
                      f"{seen.real / seen.positions:.0%}"))  # fmt: skip
    apart = max(float(np.abs(value - values[first]).max()) for value in values.values())
    print(table(lines) + f"\n\n{options.model}: values differ by {apart:.1e} at most\n", flush=True)
    assert apart <= (1e-4 if part == "scores" else 2e-3), "the variants do not compute the same"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default=str(LARGE) if LARGE.is_dir() else "5M", help=f"{', '.join(SHAPES)} or a folder"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of HH pairs")
    for name, default in {"pairs": 600, "rounds": 3, "threads": 2, "max-length": 512}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    frame = frame_of(options.data, options.pairs)
    tokenizer = tokenizer_of(options.model, frame)
    pairs = pairs_of(frame, tokenizer, options.pairs, options.max_length)
    print(machine(options.threads) + f"; {options.clock} time, float32\n")
    for part in ("scores", "log-probabilities"):
        model = model_of(options.model, tokenizer, policy=part != "scores").eval()
        model.config.pad_token_id = tokenizer.pad_token_id
        measure(part, model, pairs, tokenizer.pad_token_id, options)


if __name__ == "__main__":
    main()
