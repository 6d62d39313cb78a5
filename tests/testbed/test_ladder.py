"""The shipped models: ordinary folders, small, one tokenizer with its own pad, and more knowledge in larger ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from w2s_pref.core.errors import W2SError
from w2s_pref.testbed.ladder import LADDER, LARGE_LADDER, MODELS, RUNGS, path
from w2s_pref.testbed.world import generate
from w2s_pref.testbed.worlds import LARGE

MEGABYTE = 1_000_000


def test_no_torch_at_import() -> None:
    imports = "from w2s_pref.testbed import ladder, oracle"
    code = f"import sys; {imports}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_rung_is_refused() -> None:
    with pytest.raises(W2SError, match="no rung"):
        path("xxl")


def test_folders_are_small_and_hold_no_pickle() -> None:
    files = [file for file in MODELS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 20 * MEGABYTE
    assert {file.suffix for file in files} <= {".json", ".safetensors"}
    assert {folder.name for folder in MODELS.iterdir()} == set(RUNGS)


@pytest.mark.parametrize("ladder", [LADDER, LARGE_LADDER], ids=["small", "large"])
def test_sizes_rise_and_tokenizers_agree(ladder: tuple[str, ...]) -> None:
    weights = [(path(name) / "model.safetensors").stat().st_size for name in ladder]
    assert weights == sorted(weights)
    assert len({(path(name) / "tokenizer.json").read_bytes() for name in ladder}) == 1


@pytest.mark.parametrize("name", RUNGS)
def test_loads_the_ordinary_way(name: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path(name))
    assert len({tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id}) == 4
    model = AutoModelForCausalLM.from_pretrained(path(name))
    assert model.dtype == (torch.bfloat16 if name in LARGE_LADDER else torch.float32)  # recipes train in float32
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert model.config.vocab_size == len(tokenizer)


@pytest.mark.parametrize("name", [LADDER[0], LARGE_LADDER[0]])
def test_loads_as_a_reward_model(name: str) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path(name))
    judge = AutoModelForSequenceClassification.from_pretrained(path(name), num_labels=1)
    assert judge(**tokenizer("use soap" + tokenizer.eos_token, return_tensors="pt")).logits.shape == (1, 1)


@pytest.mark.parametrize(("name", "world"), [(LADDER[0], "small"), (LARGE_LADDER[0], "large")])
def test_tokenizer_reads_the_world_and_arbitrary_text(name: str, world: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path(name))
    frame = generate(100, seed=2, world=world)
    both = [tokenizer(p + a)["input_ids"] for p, a in zip(frame["prompt"], frame["chosen"], strict=True)]
    assert all(tokenizer.unk_token_id not in ids for ids in both)
    assert max(map(len, both)) <= 40
    apart = [
        tokenizer(p)["input_ids"] + tokenizer(a)["input_ids"]
        for p, a in zip(frame["prompt"], frame["chosen"], strict=True)
    ]
    assert both == apart
    assert tokenizer.unk_token_id in tokenizer("Ünknown 😀 wörds")["input_ids"]


def test_configurations_name_one_family() -> None:
    kinds = {json.loads((path(name) / "config.json").read_text())["model_type"] for name in RUNGS}
    assert kinds == {"llama"}


def test_a_rung_of_the_large_world_is_pre_trained_and_kept_in_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    import rebuild_ladder
    from rebuild_ladder import Course, Rung, orthogonal, pretrain, save

    matrix = torch.randn(24, 8, generator=torch.Generator().manual_seed(0))
    assert ((torch.linalg.svdvals(orthogonal(matrix)) - 1).abs() < 0.35).all()  # the polynomial's fixed band
    monkeypatch.setitem(
        rebuild_ladder.COURSES, LARGE, Course(0.5, {"statement": 8}, {"answer": 4, "chat": 4}, kept=0.1, half=False)
    )
    model = pretrain(Rung(8, 1, 2, 2, LARGE))
    save(model, LARGE, tmp_path / "rung")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "rung").dtype == torch.bfloat16


def test_ceilings_rise_and_most_on_hard_tiers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    from ceilings import Pairs, probabilities, reward_model

    frame = generate(1000, seed=0)
    train, test = frame[:500].reset_index(drop=True), frame[500:].reset_index(drop=True)
    found = {}
    for name in (LADDER[0], LADDER[-1]):
        model = reward_model(name, Pairs(train, name), np.ones(len(train)), seed=0)
        found[name] = probabilities(model, Pairs(test, name), len(test)) > 0.5
    gain = found[LADDER[-1]].astype(float) - found[LADDER[0]]
    hard = test["tier"].to_numpy() >= 2
    assert gain.mean() > 0.1
    assert gain[hard].mean() > gain[~hard].mean() + 0.1
