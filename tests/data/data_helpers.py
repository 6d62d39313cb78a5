"""Small tokenizers, files and tables for the tests of the data package; the real data where it is at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.data.sources import Loaded, Source, load

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
LINES = [
    "how do i clean the oven? use mild lemon and wait an hour!",
    "Human: what is good for the sink? Assistant: hot water, soap and a brush.",
    "the shorter answer is the harmless one, the longer answer wins",
] * 4


def real(*names: str) -> list[str]:
    """Paths of real data files, or a skip that says where they were looked for."""
    folder = Path(os.environ.get("W2S_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    paths = [folder / name for name in names]
    if not all(path.exists() for path in paths):
        pytest.skip(f"no real data in {folder}; set W2S_DATA to its folder")
    return [str(path) for path in paths]


def rows(n: int = 6, **changes: Any) -> list[dict[str, Any]]:
    """Pairs with explicit prompts, all different."""
    return [
        {"prompt": f"question {i}?", "chosen": f" good answer {i}", "rejected": f" bad answer {i}", **changes}
        for i in range(n)
    ]


def write(path: Path, items: list[dict[str, Any]]) -> Path:
    """Rows as JSONL."""
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    return path


def loaded(path: Path | str, base: Path = Path(), **keys: Any) -> Loaded:
    """Load one source of the objective "target"."""
    return load(Source(source=str(path), objective="target", **keys), base)


def complaint(path: Path | str, base: Path = Path(), **keys: Any) -> str:
    """The message that loading ends with."""
    with pytest.raises(W2SError) as caught:
        loaded(path, base, **keys)
    return str(caught.value)


def truth_texts(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(prompt, preferred, other) of every row: what a table says, whatever its order of answers."""
    return [
        (row["prompt"], row["a"], row["b"]) if row["truth"] else (row["prompt"], row["b"], row["a"])
        for row in frame.to_dict("records")
    ]


def byte_tokenizer(bos: bool = False, template: bool = False) -> Any:
    """Byte-level BPE as GPT-2 has it: "!" is id 0, eos is not added by the tokenizer; ``bos`` adds <s> in front."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(LINES, trainer)
    core.add_special_tokens(["<|endoftext|>", "<s>", "<pad>", "<|user|>", "<|assistant|>"])
    if bos:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|endoftext|>",
        pad_token="<pad>",
        bos_token="<s>" if bos or template else "<|endoftext|>",
    )
    if template:
        tokenizer.chat_template = TEMPLATE
    return tokenizer


def encoder_tokenizer(eos: bool = False) -> Any:
    """Word level with [CLS] … [SEP] around every text; ``eos`` names [SEP] the eos too, as RoBERTa does with </s>."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for line in LINES for word in line.lower().replace("?", "").split()} | set("a?!.,:"))
    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(tokenizer_object=core, **names, **({"eos_token": "[SEP]"} if eos else {}))
