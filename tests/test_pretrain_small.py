"""The small language models of scripts/pretrain_small.py, on made-up text."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from script_helpers import load_script

from w2s_pref.core.errors import W2SError

PROMPT, ANSWER = "\n\nHuman: may I have tea?\n\nAssistant:", " here is your tea."


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("scripts/pretrain_small")


def write(folder: Path) -> list[str]:
    """Two files: dialogues about drinks, and prose."""
    drinks = ["tea", "milk", "cocoa", "juice", "water", "coffee", "cider"]
    pairs = [f"User: may I have {drink}?\nAssistant: here is your {drink}." for drink in drinks]
    dialogues = ["\n".join([pairs[i % 7], pairs[(i * 3 + 1) % 7], pairs[(i * 5 + 2) % 7]]) for i in range(100)]
    prose = [f"It was a day of {a} and of {b}.\r\n" * 12 for a in drinks for b in drinks]
    files = [folder / "dialogues.parquet", folder / "prose.parquet"]
    for file, texts in zip(files, (dialogues, prose), strict=True):
        pd.DataFrame({"text": texts}).to_parquet(file)
    return [f"{files[0]}=3", str(files[1])]


SHAPE = ["--sizes", "one=32x1", "--vocab", "300", "--window", "32", "--batch", "8"]


@pytest.fixture(scope="module")
def out(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    script.main(["--text", *write(folder), "--out", str(folder / "out"), *SHAPE, "--tokens", "40000"])
    return folder / "out"


def test_dialogues_end_after_answers(script: ModuleType) -> None:
    text = "User: a\nAssistant: b\nmore\r\nUser: c\nAssistant: d\nUser: e\nAssistant: f\nUser: bye"
    seen = set()
    for seed in range(40):
        pieces = script.documents(text, np.random.default_rng(seed))
        whole = "".join(pieces)
        seen.add((len(pieces), "Assistant: b" in whole))
        assert whole.replace("Assistant: ", "Assistant:") == (
            "\n\nHuman: a\n\nAssistant:b\nmore\n\nHuman: c\n\nAssistant:d\n\nHuman: e\n\nAssistant:f"
        )
        assert all(piece.startswith("\n\nHuman: ") for piece in pieces)
    assert seen == {(count, space) for count in (1, 2, 3) for space in (True, False)}


def test_prose_loses_hard_line_breaks(script: ModuleType) -> None:
    rng = np.random.default_rng(0)
    assert script.documents("one\r\ntwo\r\n\r\nUser: three\r\n", rng) == ["one two\n\nUser: three"]


def test_held_out_documents_are_the_last_and_not_trained_on(script: ModuleType, tmp_path: Path) -> None:
    pd.DataFrame({"text": [f"text {n}" for n in range(200)]}).to_parquet(tmp_path / "t.parquet")
    train, held_out = script.read(tmp_path / "t.parquet", np.random.default_rng(0))
    assert held_out == ["text 198", "text 199"]
    assert sorted(train) == sorted(f"text {n}" for n in range(198))


def test_windows_begin_at_documents_and_come_by_share(script: ModuleType) -> None:
    text = script.train_tokenizer([(["aab ccd " * 50], 1.0)], 260)
    long, short = ["x" * 25], ["yy"] * 20
    few = script.build_corpus((long, long), 0.25, text, 10)
    many = script.build_corpus((short, short), 0.75, text, 10)
    assert few.starts.tolist() == [0, 10]
    assert set(range(0, 48, 3)) <= set(many.starts.tolist())
    assert many.held_out.shape == (5, 11)
    drawn = script.draw({"few": few, "many": many}, 4000, 10, np.random.default_rng(0))
    assert drawn.shape == (4000, 11)
    x = text.convert_tokens_to_ids("x")
    assert abs((drawn[:, 0] == x).mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 4000)


def test_rate_rises_and_falls(script: ModuleType) -> None:
    rates = [script._rate(step, 1000) for step in range(1001)]
    assert np.argmax(rates) == 99
    assert rates[0] == pytest.approx(0.01, rel=1e-3)
    assert rates[500] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0)


def test_saved_folder_is_an_ordinary_model(script: ModuleType, out: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(out / "one")
    model = AutoModelForCausalLM.from_pretrained(out / "one")
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.config.bos_token_id is None
    ids = tokenizer(PROMPT + ANSWER + " ’ü")["input_ids"]
    assert tokenizer.decode(ids) == PROMPT + ANSWER + " ’ü"
    assert ids[: len(tokenizer(PROMPT)["input_ids"])] == tokenizer(PROMPT)["input_ids"]
    assert {file.name for file in (out / "one").iterdir()} >= {"model.safetensors", "tokenizer.json"}


def test_record_and_loss(out: Path) -> None:
    record = json.loads((out / "one" / "pretraining.json").read_text())
    losses = record["held_out_loss"]
    assert record["tokens"] == 40000 // 256 * 256
    assert record["arguments"]["text"][str(out.parent / "dialogues.parquet")] == 0.75
    assert losses["all"] == pytest.approx(0.75 * losses["dialogues"] + 0.25 * losses["prose"])
    assert losses["all"] < 0.5 * math.log(300)
    assert record["parameters"] == 300 * 32 + 4 * 32 * 32 + 3 * 32 * 96 + 3 * 32


def test_one_seed_gives_one_model(script: ModuleType, tmp_path: Path) -> None:
    """After twenty steps, a rise and a fall of the learning rate among them."""
    for name in ("out", "again"):
        script.main(["--text", *write(tmp_path), "--out", str(tmp_path / name), *SHAPE, "--tokens", "5120"])
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "out" / "one" / name).read_bytes() == (tmp_path / "again" / "one" / name).read_bytes()


def test_answers_end_and_do_not_end_before_they_begin(out: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(out / "one")
    model = AutoModelForCausalLM.from_pretrained(out / "one")
    start = len(tokenizer(PROMPT)["input_ids"])
    with torch.no_grad():
        logits = model(input_ids=tokenizer(PROMPT + ANSWER, return_tensors="pt")["input_ids"]).logits
    ends = logits[0].softmax(-1)[:, tokenizer.eos_token_id]
    assert ends[-1] > 0.1
    assert ends[start - 1] < 0.01


def test_mistakes_are_named(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(W2SError, match="no such file"):
        script.read(tmp_path / "none.parquet", rng)
    pd.DataFrame({"words": ["a", "b"]}).to_parquet(tmp_path / "words.parquet")
    with pytest.raises(W2SError, match="needs a column 'text'"):
        script.read(tmp_path / "words.parquet", rng)
    with pytest.raises(W2SError, match="--window 99: a text has only"):
        script.build_corpus((["a"], ["b"]), 1.0, script.train_tokenizer([(["ab"], 1.0)], 260), 99)
    with pytest.raises(SystemExit):
        script.arguments(["--text", "f", "--out", "o", "--sizes", "huge"])
    assert "--sizes huge: choose among tiny, small, large" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        script.arguments(["--text", "a/train.parquet=2", "c/prose.parquet", "b/train.parquet", "--out", "o"])
    said = " ".join(capsys.readouterr().err.split())
    assert "--text: 2 files are called train, which names a corpus; rename all but one" in said
