"""The monitor of one training, put together from finished stages, and what stays of it in the artifact."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from w2s_pref.monitor.other_weak import against
from w2s_pref.stages.policies import OnlinePolicyStage, PairPolicyStage
from w2s_pref.stages.rewards_labels_scores import Rows, Scored, Stage, TrainStage, Watch
from w2s_pref.training.methods import TAU

if TYPE_CHECKING:
    from w2s_pref.engine.build import Builder
    from w2s_pref.monitor import RiskMonitor

log = logging.getLogger(__name__)

#: The monitor's table in an artifact.
FILE = "monitor.parquet"
#: Reference trainings below which there is no envelope, so no alarm.
FEWEST = 3

Watched = TrainStage | PairPolicyStage | OnlinePolicyStage


def monitor(builder: Builder, stage: Watched, tokenizer: Any, work: Path) -> RiskMonitor | None:
    """The monitor of a stage, writing under ``work``; None where the recipe asks for none."""
    from w2s_pref.monitor import RiskMonitor

    watch = stage.watch
    if watch is None:
        return None
    envelope = _envelope(builder, watch)
    return RiskMonitor(
        watch.probe.frame,
        weak_scores(builder, watch.weak),
        training_groups=_groups(stage),
        folder=work,
        every=watch.config["every"],
        tokenizer=tokenizer,
        score=_scorer(builder, watch, tokenizer, stage.tokens["max_length"]),
        max_length=stage.tokens["max_length"],
        envelope=envelope,
        watch=_watched(watch, envelope),
        action=watch.config["action"],
        on_signal=builder.signal,
        keep_margins=True,
    )


def keep(found: RiskMonitor | None, work: Path, folder: Path, main: bool) -> dict[str, Any]:
    """Copy the table into the artifact; what the manifest says: alarms, cost, looks."""
    if found is None:
        return {}
    if main:
        shutil.copyfile(work / FILE, folder / FILE)
        for step in {alarm.step for alarm in found.alarms if found.action == "checkpoint"}:
            _keep_checkpoint(work / f"checkpoint-{step}", folder / f"alarm-{step}")
    alarms = [vars(alarm) for alarm in found.alarms]
    return {
        "monitor": {"alarms": alarms, "cost": found.cost, "looks": len(found.table), "judged": bool(found.envelope)}
    }


def _keep_checkpoint(checkpoint: Path, place: Path) -> None:
    """The model as it was at an alarm, without the optimiser's pickles."""
    place.mkdir()
    for file in checkpoint.iterdir():
        if file.suffix in {".safetensors", ".json", ".jinja"} and not file.name.startswith("w2s-"):
            shutil.copyfile(file, place / file.name)


def looks(found: RiskMonitor | None, updates: int) -> Callable[[int, Any], bool] | None:
    """The monitor for a loop that is no transformers Trainer: called with (updates done, model); True: stop."""
    if found is None:
        return None
    from w2s_pref.monitor.loop import Loop

    return Loop(found, updates)


def _watched(watch: Watch, envelope: Any) -> list[str]:
    """The signals that raise alarms: of those asked for, the ones that the ceilings showed throughout."""
    wanted: list[str] = watch.config["watch"]
    held = wanted if envelope is None else [name for name in wanted if name in envelope.bands]
    if held != wanted:
        log.warning("monitor: the ceilings give no band for %s: no alarms on it", ", ".join(set(wanted) - set(held)))
    return held


def curve(builder: Builder, stage: Stage, weak: Scored, probe: Rows) -> pd.DataFrame:
    """What a training looked like on the probe, against the weak model of ``weak``."""
    scores = weak_scores(builder, weak).set_index("id")["p"].reindex(probe.frame["id"])
    truth = probe.frame["truth"].to_numpy(dtype=float)
    return against(pd.read_parquet(builder.artifact(stage).folder / FILE), scores.to_numpy(), truth)


def weak_scores(builder: Builder, weak: Scored) -> pd.DataFrame:
    """``id, p`` of a weak model on the probe."""
    table = builder.table(weak)
    margin = (table["score_a"] - table["score_b"]).to_numpy(dtype=float) / TAU[weak.form]
    return pd.DataFrame({"id": table["id"], "p": np.exp(-np.logaddexp(0.0, -margin))})


def _groups(stage: Watched) -> pd.Series:
    rows = [stage.prompts] if isinstance(stage, OnlinePolicyStage) else [part.rows for part in stage.parts]
    groups: pd.Series = pd.concat([each.frame["group"] for each in rows])
    return groups


def _scorer(builder: Builder, watch: Watch, tokenizer: Any, max_length: int | None) -> Any:
    """Margins in units of the score's temperature, as the analysis reads them; None: a reward model's."""
    from w2s_pref.monitor.scorers import PolicyMargins

    if watch.form == "reward_model":
        return None
    if watch.form == "mean_logprob":
        return PolicyMargins(watch.probe.frame, tokenizer, max_length, beta=1.0, per_token=True)
    reference = None if watch.reference is None else builder.table(watch.reference)
    beta = watch.beta if reference is not None else 1.0 / TAU[watch.form]
    return PolicyMargins(watch.probe.frame, tokenizer, max_length, beta=beta, reference=reference)


def _envelope(builder: Builder, watch: Watch) -> Any:
    """What the ceilings of the same node look like while they train; None with fewer than three of them."""
    from w2s_pref.monitor.alarms import Envelope

    if len(watch.envelope) < FEWEST:
        return None
    curves = [
        curve(builder, stage, weak, watch.probe).assign(run=number)
        for number, (stage, weak) in enumerate(watch.envelope)
    ]
    return Envelope.fit(pd.concat(curves, ignore_index=True), level=watch.config["level"])
