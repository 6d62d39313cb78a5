"""HH-RLHF pairs as token ids, models from configuration and a clock: what the speed benchmarks have in common."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from w2s_pref.data.sources import Source, load
from w2s_pref.data.tokens import tokenize

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "hh"
FILE = "harmless_train_w2s.parquet"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

#: Family, hidden size, intermediate size, layers, heads, key-value heads, vocabulary of models with random weights, by
#: parameters. The last two are Qwen2.5's own.
SHAPES: dict[str, tuple[Any, int, int, int, int, int, int]] = {
    "1M": (LlamaConfig, 128, 352, 3, 4, 4, 4096),
    "5M": (LlamaConfig, 256, 704, 6, 8, 8, 4096),
    "135M": (LlamaConfig, 576, 1536, 30, 9, 3, 49152),
    "0.5B": (Qwen2Config, 896, 4864, 24, 14, 2, 151936),
    "1.5B": (Qwen2Config, 1536, 8960, 28, 12, 2, 151936),
}

#: Tokens at the quantiles 0, .05, … .95, .99, 1 of HH-RLHF's prompts and answers (by a byte-level BPE of 32,000 tokens
#: made from them; texts of at most 512): pairs of random tokens with these lengths where the data is not at hand.
QUANTILES: dict[str, tuple[list[int], list[int]]] = {
    "harmless": (
        [9, 13, 14, 15, 16, 16, 17, 18, 18, 19, 19, 20, 21, 22, 24, 26, 28, 31, 35, 42, 61, 229],
        [1, 6, 8, 9, 11, 13, 15, 17, 19, 22, 25, 28, 32, 36, 42, 48, 57, 67, 83, 113, 205, 490],
    ),
    "helpful": (
        [9, 15, 17, 19, 21, 27, 41, 56, 66, 78, 93, 105, 118, 132, 152, 176, 198, 228, 264, 317, 419, 494],
        [1, 6, 9, 13, 15, 18, 21, 24, 27, 31, 34, 39, 44, 50, 56, 64, 72, 85, 103, 136, 233, 423],
    ),
}


@dataclass(frozen=True)
class Pairs:
    """Token ids of chosen (a) and rejected (b) texts, and where their responses begin."""

    a_ids: list[list[int]]
    b_ids: list[list[int]]
    starts: list[int]

    def __len__(self) -> int:
        return len(self.a_ids)


def frame_of(folder: Path, rows: int) -> pd.DataFrame:
    """HH pairs, the chosen answer as ``a``; enough for ``rows`` of them to remain."""
    if not (folder / FILE).is_file():
        raise SystemExit(f"no HH pairs at {folder / FILE}; name their folder with --data")
    frame = load(Source(source=str(folder / FILE), objective="harmless", on_bad_row="drop")).frame
    truth = frame["truth"].astype(bool)
    chosen, rejected = frame["a"].where(truth, frame["b"]), frame["b"].where(truth, frame["a"])
    return frame.assign(a=chosen, b=rejected).head(2 * rows + 200)


def pairs_of(frame: pd.DataFrame, tokenizer: Any, rows: int, max_length: int) -> Pairs:
    """The first ``rows`` pairs whose two prompts are the same ids (TRL keeps one for both)."""
    found = tokenize(frame, tokenizer, max_length=max_length, starts=True)
    each = zip(found.a_ids, found.b_ids, found.a_starts, found.b_starts, strict=True)
    same = [(list(a), list(b), at) for a, b, at, other in each if at == other and a[:at] == b[:at]][:rows]
    if len(same) < rows:
        raise SystemExit(f"{rows} pairs are needed, but the file has {len(same)} that fit")
    return Pairs(*(list(column) for column in zip(*same, strict=True)))


def drawn_pairs(lengths: str, rows: int, vocabulary: int, max_length: int) -> Pairs:
    """Random pairs whose prompts and answers are as long as HH-RLHF's (``QUANTILES``), independently of each other."""
    draw = np.random.default_rng(0)
    prompts, answers = QUANTILES[lengths]
    grid = [*np.arange(20) / 20, 0.99, 1.0]

    def tokens(count: float) -> list[int]:
        ids: list[int] = draw.integers(2, vocabulary, max(1, round(count))).tolist()  # neither <pad> nor <eos>
        return ids

    pairs = []
    for _ in range(rows):
        prompt = tokens(np.interp(draw.random(), grid, prompts))
        a, b = (tokens(np.interp(draw.random(), grid, answers)) for _ in range(2))
        prompt = prompt[-max(1, max_length - 1 - max(len(a), len(b))) :]
        pairs.append(([*prompt, *a, 1][:max_length], [*prompt, *b, 1][:max_length], len(prompt)))
    return Pairs(*(list(column) for column in zip(*pairs, strict=True)))


def plain_tokenizer() -> Any:
    """A tokenizer that only says what <pad> (0) and <eos> (1) are: for pairs that are token ids already."""
    core = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def tokenizer_of(model: str, frame: pd.DataFrame) -> Any:
    """The tokenizer of a model's folder, or a byte-level BPE of 4,096 tokens made from the pairs.

    Pad must not be eos: TRL reads a text's score at the last token that is no pad, which would be another than ours.
    """
    if model not in SHAPES:
        found = AutoTokenizer.from_pretrained(model)
        if found.pad_token in (None, found.eos_token):
            raise SystemExit(
                f"{model}: pad is {found.pad_token!r} and eos is {found.eos_token!r}, so that TRL would read the score "
                "at another token and losses would differ; give a copy whose tokenizer has a pad_token of its own"
            )
        return found
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, special_tokens=["<pad>", "<eos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    core.train_from_iterator((frame["prompt"] + frame["a"] + frame["b"]).tolist(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


def model_of(model: str, tokenizer: Any, policy: bool, attention: str | None = None, device: str = DEVICE) -> Any:
    """A new copy: of a folder's model, or of a shape with seeded random weights, a reward model or a policy."""
    torch.manual_seed(0)
    more: dict[str, Any] = {"attn_implementation": attention} if attention else {}
    kind = AutoModelForCausalLM if policy else AutoModelForSequenceClassification
    if model not in SHAPES:
        return kind.from_pretrained(model, **more, **({} if policy else {"num_labels": 1})).to(device)
    family, hidden, inner, layers, heads, groups, vocabulary = SHAPES[model]
    config = family(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_labels=1,
        num_attention_heads=heads, num_key_value_heads=groups, max_position_embeddings=8192, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.device(device):  # a billion normal numbers take a CPU minutes
        return kind.from_config(config, **more)


def body(model: nn.Module) -> int:
    """Parameters that every token meets: all but the embedding (and the output head tied to it)."""
    embedding = model.get_input_embeddings().weight  # type: ignore[operator]
    return sum(weight.numel() for weight in model.parameters() if weight is not embedding)


def clock(kind: str) -> float:
    """Seconds: of the wall, or of this process on the CPU (on a machine that others use); a GPU is waited for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.process_time() if kind == "cpu" else time.perf_counter()


def machine(threads: int) -> str:
    """Where this ran, in words."""
    import transformers
    import trl

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, trl {trl.__version__}"
    return f"{name}, {os.cpu_count()} cores, {threads} threads; {versions}; {time.strftime('%Y-%m-%d')}"


def table(rows: list[tuple[object, ...]]) -> str:
    """A Markdown table; the first row is its head. Numbers get three digits."""
    lines = ["| " + " | ".join(f"{x:.3g}" if isinstance(x, float) else str(x) for x in row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
