"""The benchmark of trainings refuses what would make its variants differ, and counts from one step on."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

ROOT = Path(__file__).parent.parent.parent
RUNG = ROOT / "w2s_pref" / "testbed" / "models" / "xs"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    for name in ("pairs", "training", "training_variants"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import pairs
    import training

    return pairs, training


def test_a_model_whose_pad_is_its_eos_is_refused(scripts, tmp_path):
    pairs, _ = scripts
    assert pairs.tokenizer_of(str(RUNG), None).pad_token == "<pad>"
    tokenizer = AutoTokenizer.from_pretrained(RUNG)
    tokenizer.pad_token = tokenizer.eos_token
    shutil.copy(RUNG / "config.json", tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(SystemExit, match="pad is '</s>' and eos is '</s>'"):
        pairs.tokenizer_of(str(tmp_path), None)


@pytest.mark.parametrize("name", ["steps", "batch", "rounds"])
def test_a_number_below_one_is_a_sentence(scripts, monkeypatch, capsys, name):
    _, training = scripts
    monkeypatch.setattr(sys, "argv", ["training.py", f"--{name}", "0"])
    with pytest.raises(SystemExit):
        training.main()
    assert "should be at least 1, but this is 0" in capsys.readouterr().err


def test_one_step_is_measured(scripts, monkeypatch, capsys):
    pairs, training = scripts
    options = argparse.Namespace(model="1M", batch=2, steps=1, rounds=1, discard=0, seconds=9.0, clock="cpu", peak=None,
                                 attention=None, tolerance=None, bf16=False)  # fmt: skip
    run = training.Run(options, pairs.plain_tokenizer(), pairs.drawn_pairs("harmless", 6, 1000, 64), training.WARM_UP)

    def variant(run, _folder):
        for _ in range(3):
            run.tick()
        return [0.7, 0.6, 0.5]

    monkeypatch.setattr(training, "variants", lambda part, options: {"TRL": variant, "w2s-pref": variant})
    kept: dict = {}
    training.measure("reward", run, kept.update)
    assert kept["problems"] == []
    assert "| 3 | 0.50000 | 0.50000 |" in capsys.readouterr().out
