"""Training arguments by TRL's names: what would do nothing, or something else here, is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from trl import RewardConfig

from w2s_pref.training.arguments import check, merged
from w2s_pref.training.fields import Kind
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
