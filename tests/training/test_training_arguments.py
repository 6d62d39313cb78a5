"""Training arguments by TRL's names: what would do nothing, or something else here, is refused."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import make_model, make_tokenizer
from trl import RewardConfig

from w2s_pref.core.errors import W2SError
from w2s_pref.training.arguments import check, merged
from w2s_pref.training.callbacks import StopOnNaN
from w2s_pref.training.fields import Kind
from w2s_pref.training.fit import FitJob, fit
from w2s_pref.training.reward import Loss
from w2s_pref.training.trainer import Batch, Job, configuration

#: Arguments that a trainer here never reads, or that change what it promises: by kind of trainer, with their values.
UNREAD: dict[Kind, dict[str, object]] = {
    "reward": {
        "neftune_noise_alpha": 5.0,
        "logging_nan_inf_filter": True,
        "do_predict": True,
        "label_names": ["labels"],
        "include_for_metrics": ["loss"],
        "restore_callback_states_from_checkpoint": True,
    },
    "dpo": {"neftune_noise_alpha": 5.0},
    "rloo": {"chat_template_kwargs": {"enable_thinking": False}, "neftune_noise_alpha": 5.0},
    "grpo": {"chat_template_kwargs": {"enable_thinking": False}, "max_tool_calling_iterations": 3},
}


@pytest.mark.parametrize("kind", list(UNREAD))
def test_arguments_that_would_do_nothing_or_depend_on_memory_are_refused(kind: Kind) -> None:
    for name, value in UNREAD[kind].items():
        (said,) = check({name: value}, "training", kind)
        assert said.startswith(f"training.{name}: not set here; ")


@pytest.mark.parametrize(("given", "steps"), [({}, 7), ({"max_steps": -1}, 7), ({"max_steps": 3}, 3)])
def test_a_mixture_has_its_updates_where_max_steps_is_left_to_the_epochs(
    given: dict[str, int], steps: int, tmp_path: Path
) -> None:
    batch = Batch.of(merged(given))
    made = configuration(RewardConfig, Job(arguments={}, seed=0, updates=7), batch, tmp_path, max_length=None)
    assert made.max_steps == steps


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"lr_scheduler_type": "warmup_stable_decay"}, "num_decay_steps.*; take another optim or lr_scheduler_type"),
        ({"lr_scheduler_kwargs": {"peak": 1}}, "unexpected keyword argument 'peak'; take another optim or lr_schedule"),
        ({"optim": "adamw_anyprecision"}, "Please install .*torchdistx; take another optim"),
    ],
)
def test_what_an_optimizer_or_a_schedule_lacks_is_a_sentence(given: dict[str, Any], says: str, tmp_path: Path) -> None:
    arguments = merged({"batch_size": 2}, given)
    columns = {"p": [1.0, 0.0], "sign": [0.0, 0.0]}
    job = FitJob([[3, 4], [5, 6]], [[3, 5], [5, 7]], columns, Loss(), arguments=arguments, seed=0)
    with pytest.raises(W2SError, match=f"^training: .*{says}"):
        fit(make_model(), make_tokenizer(), job, tmp_path / "work", tmp_path / "saved")


def test_a_skipped_step_of_half_precision_is_no_divergence() -> None:
    logs, half, whole = {"loss": 0.5, "grad_norm": math.inf}, SimpleNamespace(fp16=True), SimpleNamespace(fp16=False)
    state: Any = SimpleNamespace(global_step=1)
    StopOnNaN().on_log(half, state, None, logs)
    for arguments, said in ((whole, logs), (half, logs | {"loss": math.nan})):
        with pytest.raises(W2SError, match="training diverged at step 1"):
            StopOnNaN().on_log(arguments, state, None, said)
