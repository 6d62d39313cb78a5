"""The live monitor: training is untouched, looks are where they should be, alarms act, bad probes are refused."""

from __future__ import annotations

import logging
import math
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_model, make_tokenizer
from transformers import TrainerCallback
from trl import RewardConfig

from w2s_pref.core.errors import W2SError
from w2s_pref.models.batches.wrapped import untouched
from w2s_pref.models.scoring import score_pairs
from w2s_pref.monitor import RiskMonitor
from w2s_pref.monitor.alarms import Band, Envelope
from w2s_pref.monitor.signals import LABEL_FREE, LABELLED
from w2s_pref.training.reward import SoftRewardTrainer, training_rows

PAIRS, BATCH, STEPS = 64, 8, 8


def probe(n: int = 40) -> pd.DataFrame:
    rng = random.Random(5)
    words = [" ".join(f"w{rng.randrange(96)}" for _ in range(rng.randint(3, 9))) for _ in range(3 * n)]
    return pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(n)],
            "group": [f"g{i}" for i in range(n)],
            "form": "text",
            "prompt": [f"{text} " for text in words[:n]],
            "a": words[n : 2 * n],
            "b": words[2 * n :],
            "truth": [i % 2 for i in range(n)],
        }
    )


def weak(pairs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"id": pairs["id"], "p_a": np.linspace(0.05, 0.95, len(pairs))}).sample(frac=1, random_state=0)


def monitor(pairs: pd.DataFrame | None = None, **options: Any) -> RiskMonitor:
    pairs = probe() if pairs is None else pairs
    return RiskMonitor(pairs, weak(pairs), **{"training_groups": ["elsewhere"], "every": 3, **options})


def trainer(folder: Path, model: torch.nn.Module, **arguments: Any) -> SoftRewardTrainer:
    rng = random.Random(1)
    ids = [[rng.randrange(100) for _ in range(rng.randint(4, 20))] + [101] for _ in range(2 * PAIRS)]
    labels = {"p": [rng.random() for _ in range(PAIRS)], "sign": [0.0] * PAIRS}
    given: dict[str, Any] = {
        "output_dir": str(folder), "per_device_train_batch_size": BATCH, "learning_rate": 1e-3, "num_train_epochs": 1,
        "seed": 3, "data_seed": 3, "max_length": None, "use_cpu": True, "disable_tqdm": True, "save_strategy": "no",
        "logging_steps": 1, "bf16": False, "gradient_checkpointing": False, "report_to": "none",
        "disable_dropout": False,
    }  # fmt: skip
    return SoftRewardTrainer(
        model=model,
        args=RewardConfig(**{**given, **arguments}),
        rows=training_rows(ids[:PAIRS], ids[PAIRS:], labels, BATCH),
        processing_class=make_tokenizer(),
    )


def losses(one: SoftRewardTrainer) -> list[float]:
    return [entry["loss"] for entry in one.state.log_history if "loss" in entry]


def restless(pairs: pd.DataFrame) -> Any:
    """A scorer that draws random numbers everywhere, as sampling would, and leaves the model in eval mode."""

    def score(model: Any, shard: tuple[int, int]) -> np.ndarray:
        assert not model.training
        noise = random.random() + np.random.rand() + torch.rand(3).sum().item()
        return np.linspace(-1, 1, len(pairs)) * noise

    return score


@pytest.mark.parametrize("case", ["plain", "bf16", "restless"])
def test_training_is_the_same_to_the_bit(tmp_path: Path, case: str) -> None:
    """Dropout on, so any random number the monitor used up, or any mode it left, would change the weights."""
    runs = []
    for watched in (False, True):
        model = make_model(attention_dropout=0.2)
        one = trainer(tmp_path / str(watched), model, bf16=case == "bf16")
        if watched:
            watch = monitor(score=restless(probe()) if case == "restless" else None).attach(one)
        torch.manual_seed(9)
        one.train()
        runs.append((torch.cat([p.detach().flatten() for p in model.parameters()]), losses(one)))
    assert torch.equal(runs[0][0], runs[1][0])
    assert len(runs[0][1]) == STEPS
    assert runs[0][1] == runs[1][1]
    assert watch.table["step"].tolist() == [0, 3, 6, 8]


def test_the_last_look_is_the_trained_models_scores(tmp_path: Path) -> None:
    model, pairs = make_model(), probe()
    one = trainer(tmp_path, model)
    watch = monitor(pairs).attach(one)
    one.train()
    scores = score_pairs(model, make_tokenizer(), pairs)
    margin = (scores["score_a"] - scores["score_b"]).to_numpy()
    last = watch.table.iloc[-1]
    assert last["spread"] == pytest.approx(np.sqrt(np.mean(margin**2)), rel=1e-6)
    assert last["accuracy"] == np.mean((margin > 0) == (pairs["truth"] == 1))
    assert last["fraction"] == 1
    assert watch.table["loss"].tolist()[1:] == [losses(one)[at] for at in (1, 4, 6)]  # the newest before the look
    assert math.isnan(watch.table["loss"][0])
    assert 0 < watch.cost < 5


class Heard(TrainerCallback):
    """A tracker: keeps what it is given to log."""

    def __init__(self) -> None:
        self.logs: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self.logs.append({**logs, "step": state.global_step})


def test_signals_reach_trackers_file_and_hook(tmp_path: Path) -> None:
    one, heard, shown = trainer(tmp_path, make_model()), Heard(), []
    one.add_callback(heard)
    watch = monitor(folder=tmp_path / "out", on_signal=lambda step, found: shown.append((step, found["var"]))).attach(
        one
    )
    one.train()
    tracked = {entry["step"]: entry["risk/var"] for entry in heard.logs if "risk/var" in entry}
    on_disk = pd.read_parquet(tmp_path / "out" / "monitor.parquet")
    assert list(tracked) == [0, 3, 6, 8]
    assert list(tracked.items()) == shown
    assert list(tracked.values()) == on_disk["var"].tolist()
    pd.testing.assert_frame_equal(on_disk, watch.table)
    assert set(on_disk.columns) == {"step", "fraction", "loss", *LABEL_FREE, *LABELLED}
    assert [entry["step"] for entry in heard.logs if "loss" in entry] == list(range(1, STEPS + 1))  # none was swallowed


def test_without_attach_it_says_how_to_reach_the_trackers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, watch = trainer(tmp_path, make_model(), max_steps=1), monitor()
    one.add_callback(watch)
    one.args.report_to = ["tensorboard"]
    with caplog.at_level(logging.WARNING, "w2s_pref"):
        one.train()
    assert "monitor.attach(trainer)" in caplog.text
    assert watch.table["step"].tolist() == [0, 1]


def test_a_resumed_training_continues_the_file(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", make_model())
    expected = monitor(folder=tmp_path / "whole").attach(whole)
    whole.train()
    first = trainer(tmp_path / "cut", make_model(), save_strategy="steps", save_steps=4)
    stop = monitor(folder=tmp_path / "cut", every=1).attach(first)
    assert stop.every == 1

    class Crash(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 6:
                raise KeyboardInterrupt

    first.add_callback(Crash())
    with pytest.raises(KeyboardInterrupt):
        first.train()
    assert pd.read_parquet(tmp_path / "cut" / "monitor.parquet")["step"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    again = trainer(tmp_path / "cut", make_model(seed=4), save_strategy="steps", save_steps=4)
    watch = monitor(folder=tmp_path / "cut").attach(again)
    again.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-4"))
    assert watch.table["step"].tolist() == [0, 1, 2, 3, 4, 6, 8]
    shared = watch.table[watch.table["step"].isin([0, 3, 6, 8])].reset_index(drop=True)
    pd.testing.assert_frame_equal(shared, expected.table, check_exact=True)


@pytest.mark.parametrize("action", ["log", "stop"])
def test_a_resumed_training_looks_where_it_would_have(tmp_path: Path, action: Any) -> None:
    """Every seven steps, and its checkpoint is of the fourth: a look there might raise an alarm of its own."""

    class Crash(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 6:
                raise KeyboardInterrupt

    def made(name: str, seed: int = 0) -> tuple[SoftRewardTrainer, RiskMonitor]:
        one = trainer(tmp_path / name, make_model(seed=seed), save_strategy="steps", save_steps=4)
        return one, monitor(folder=tmp_path / name, every=7, envelope=tight(), action=action).attach(one)

    whole, expected = made("whole")
    whole.train()
    first, _ = made("cut")
    first.add_callback(Crash())
    with pytest.raises(KeyboardInterrupt):
        first.train()
    again, watch = made("cut", seed=4)
    again.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-4"))
    assert again.state.global_step == whole.state.global_step
    pd.testing.assert_frame_equal(watch.table, expected.table, check_exact=True)


def tight() -> Envelope:
    """Any variance above 0 is an alarm once training has begun: z = (var - 0) / 1.4826."""
    flat = [0.0] * 21
    return Envelope(3, 1.0, {"var": Band(flat, [1.0] * 21, flat, flat, allowance=100.0, z=0.0, cusum=1.0)})


def test_alarms_log_checkpoint_stop_or_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    called = []
    actions = {"log": "log", "checkpoint": "checkpoint", "stop": "stop", "own": lambda alarm, state, control: called.append((alarm.step, state.global_step))}  # fmt: skip  # noqa: E501
    steps = {}
    for name, action in actions.items():
        one = trainer(tmp_path / name, make_model())
        watch = monitor(envelope=tight(), action=action).attach(one)
        with caplog.at_level(logging.WARNING, "w2s_pref"):
            one.train()
        steps[name] = one.state.global_step
        assert [(alarm.step, alarm.signal, alarm.statistic) for alarm in watch.alarms] == [(3, "var", "robust_z")]
        assert any("risk/alarm_var_robust_z" in entry for entry in one.state.log_history)
        assert watch.table["step"].tolist() == ([0, 3] if name == "stop" else [0, 3, 6, 8])
    assert steps == {"log": 8, "checkpoint": 8, "stop": 3, "own": 8}
    assert called == [(3, 3)]  # once, not at every later look
    assert [p.name for p in tmp_path.glob("*/checkpoint-*")] == ["checkpoint-3"]
    assert (tmp_path / "checkpoint" / "checkpoint-3").is_dir()
    assert "step 3: var, robust_z" in caplog.text


def test_the_automatic_interval_counts_tokens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """8 steps of 8 pairs cannot pay for 40 probe pairs; start and end are looked at all the same, and it is said."""
    one = trainer(tmp_path, make_model())
    with caplog.at_level(logging.INFO, "w2s_pref"):
        watch = monitor(every="auto").attach(one)
        one.train()
    assert watch.table["step"].tolist() == [0, 8]
    assert "this training is short for its probe" in caplog.text


def test_modes_and_gradients_come_back() -> None:
    model = make_model(attention_dropout=0.2).train()
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with untouched(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        torch.rand(5)
    assert [module.training for module in model.modules()] == before
    assert torch.is_grad_enabled()
    assert torch.equal(torch.rand(1), expected)


def test_scores_that_are_no_numbers_are_undefined_signals(tmp_path: Path) -> None:
    one = trainer(tmp_path, make_model(), max_steps=1)
    watch = monitor(score=lambda model, shard: np.full(40, np.nan)).attach(one)
    one.train()
    assert watch.table[[*LABEL_FREE, *LABELLED]].isna().all().all()
    assert not any(name.startswith("risk/") for entry in one.state.log_history for name in entry)


def test_a_scorer_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    one = trainer(tmp_path, make_model(), max_steps=1)
    monitor(score=lambda model, shard: np.zeros(3)).attach(one)
    with pytest.raises(W2SError, match=r"shape \(3,\) for 40 pairs"):
        one.train()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"every": 0}, "at least 1"),
        ({"action": "shout"}, "log, checkpoint, stop"),
        ({"thresholds": (0.75, 0.4)}, "tw is 0.4"),
        ({"watch": ("vra",)}, "no signal of this probe"),
        ({"watch": ("misfit",), "envelope": tight()}, "not in the envelope"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(W2SError, match=sentence):
        monitor(**options)


def test_the_pure_parts_need_no_torch() -> None:
    import subprocess

    code = "import sys, w2s_pref.monitor.alarms, w2s_pref.monitor.signals, w2s_pref.monitor.detector; print('torch' in sys.modules)"  # fmt: skip  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
