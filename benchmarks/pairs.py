"""HH-RLHF pairs as token ids, Llamas from configuration and a clock: what the speed benchmarks have in common."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from w2s_pref.data.sources import Source, load
from w2s_pref.data.tokens import tokenize

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "hh"
FILE = "harmless_train_w2s.parquet"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

#: Hidden size, intermediate size, layers, heads, vocabulary of Llamas with random weights, by parameters.
SHAPES = {
    "1M": (128, 352, 3, 4, 4096),
    "5M": (256, 704, 6, 8, 4096),
    "0.5B": (1280, 3456, 24, 20, 32000),
    "1.5B": (2048, 5632, 28, 16, 32000),
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


def tokenizer_of(model: str, frame: pd.DataFrame) -> Any:
    """The tokenizer of a model's folder, or a byte-level BPE of 4,096 tokens made from the pairs."""
    if model not in SHAPES:
        return AutoTokenizer.from_pretrained(model)
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, special_tokens=["<pad>", "<eos>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    core.train_from_iterator((frame["prompt"] + frame["a"] + frame["b"]).tolist(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


def model_of(model: str, tokenizer: Any, policy: bool, attention: str | None = None) -> Any:
    """A new copy: of a folder's model, or of a shape with seeded random weights, a reward model or a policy."""
    torch.manual_seed(0)
    more: dict[str, Any] = {"attn_implementation": attention} if attention else {}
    if model not in SHAPES:
        kind = AutoModelForCausalLM if policy else AutoModelForSequenceClassification
        return kind.from_pretrained(model, **more, **({} if policy else {"num_labels": 1})).to(DEVICE)
    hidden, inner, layers, heads, vocabulary = SHAPES[model]
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_labels=1,
        num_attention_heads=heads, max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **more,
    )  # fmt: skip
    with torch.device(DEVICE):  # a billion normal numbers take a CPU minutes
        return LlamaForCausalLM(config) if policy else LlamaForSequenceClassification(config)


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
