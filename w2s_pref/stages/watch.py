"""The monitor of one training, put together from finished stages, and what stays of it in the artifact."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.rows import Rows
from w2s_pref.training.methods import TAU

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from w2s_pref.monitor import RiskMonitor
    from w2s_pref.monitor.alarms import Envelope
    from w2s_pref.monitor.scorers import Scorer

log = logging.getLogger(__name__)

#: The monitor's table in an artifact.
FILE = "monitor.parquet"
#: Reference trainings below which there is no envelope, so no alarm.
FEWEST = 3


@dataclass(frozen=True, eq=False)
class Watch:
    """What watches a training: the probe, the weak model's scores on it, and the trainings that alarms compare with.

    ``weak_name`` is the model that supervises the arm (of a ceiling: the first arm it belongs to). ``envelope`` holds
    the ceilings of the same node, each with the weak model's scores of its own seed; with fewer than three there are
    no alarms. ``reference`` is the policy's reference on the probe, where its score has one.
    """

    config: dict[str, Any]
    probe: Rows
    weak: Scored
    weak_name: str
    envelope: tuple[tuple[Stage, Scored], ...]
    reference: Stage | None = None
    form: str = "reward_model"
    beta: float = 1.0

    @property
    def inputs(self) -> dict[str, Stage]:
        """Scores and trainings it reads."""
        found: dict[str, Stage] = {f"watched{n}": stage for n, (stage, _) in enumerate(self.envelope)}
        weak: dict[str, Stage] = {f"probe{n}": scores for n, (_, scores) in enumerate(self.envelope)}
        return {"probe": self.weak, **found, **weak, **({"probe reference": self.reference} if self.reference else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """The settings, the form of the watched scores, and the probe with its truth, which labelled signals show."""
        return {
            "version": 3,  # of what the monitor leaves in the artifact: 3 judges each look of the references once
            "config": self.config,
            "form": self.form,
            "probe": [self.probe.texts, self.probe.truth],
        }


def monitor(
    builder: Builder,
    watch: Watch | None,
    rows: list[Rows],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
    work: Path,
) -> RiskMonitor | None:
    """The monitor of a training on ``rows``, writing under ``work``; None where the recipe asks for none."""
    from w2s_pref.monitor import RiskMonitor

    if watch is None:
        return None
    envelope = _envelope(builder, watch)
    return RiskMonitor(
        watch.probe.frame,
        lambda _: weak_scores(builder, watch.weak),
        training_groups=pd.concat([each.frame["group"] for each in rows]),
        folder=work,
        every=watch.config["every"],
        tokenizer=tokenizer,
        score=_scorer(builder, watch, tokenizer, max_length),
        max_length=max_length,
        envelope=envelope,
        watch=_alarming(watch, envelope),
        action=watch.config["action"],
        on_signal=builder.signal,
        keep_margins=True,
    )


def copy_record(found: RiskMonitor | None, work: Path, folder: Path, main: bool) -> dict[str, Any]:
    """Copy the monitor's table into the artifact; what the manifest says of it: alarms, cost, looks."""
    if found is None:
        return {}
    from w2s_pref.training.sharding import checkpoints

    if main:
        shutil.copyfile(work / FILE, folder / FILE)
        for step in {alarm.step for alarm in found.alarms if found.action == "checkpoint"}:
            _copy_checkpoint(checkpoints(work) / f"checkpoint-{step}", folder / f"alarm-{step}")
    alarms = [vars(alarm) for alarm in found.alarms]
    return {
        "monitor": {"alarms": alarms, "cost": found.cost, "looks": len(found.table), "judged": bool(found.envelope)}
    }


def _copy_checkpoint(checkpoint: Path, place: Path) -> None:
    """The model as it was at an alarm, without the optimiser's pickles."""
    place.mkdir()
    for file in checkpoint.iterdir():
        if file.suffix in {".safetensors", ".json", ".jinja"} and not file.name.startswith("w2s-"):
            shutil.copyfile(file, place / file.name)


def in_own_loop(found: RiskMonitor | None, updates: int) -> Callable[[int, Any, bool], bool] | None:
    """The monitor for a loop that is no transformers Trainer, called as ``LoopMonitor``; True: stop."""
    if found is None:
        return None
    from w2s_pref.monitor.loop import LoopMonitor

    return LoopMonitor(found, updates)


def _alarming(watch: Watch, envelope: Envelope | None) -> list[str]:
    """The signals that raise alarms: of those asked for, the ones that the ceilings showed throughout."""
    wanted: list[str] = watch.config["watch"]
    bounded = wanted if envelope is None else [name for name in wanted if name in envelope.bands]
    if bounded != wanted:
        log.warning("monitor: the ceilings give no band for %s: no alarms on it", ", ".join(set(wanted) - set(bounded)))
    return bounded


def curve(builder: Builder, stage: Stage, weak: Scored, probe: Rows) -> pd.DataFrame:
    """What a training looked like on the probe, against the weak model of ``weak``."""
    from w2s_pref.monitor.record import against  # with the analysis of risk, which no plan needs

    scores = weak_scores(builder, weak).set_index("id")["p_a"].reindex(probe.frame["id"])
    truth = probe.frame["truth"].to_numpy(dtype=float)
    return against(pd.read_parquet(builder.artifact(stage).folder / FILE), scores.to_numpy(), truth)


def weak_scores(builder: Builder, weak: Scored) -> pd.DataFrame:
    """``id, p_a`` of a weak model on the probe."""
    table = builder.table(weak)
    margin = (table["score_a"] - table["score_b"]).to_numpy(dtype=float) / TAU[weak.form]
    return pd.DataFrame({"id": table["id"], "p_a": np.exp(-np.logaddexp(0.0, -margin))})


def _scorer(
    builder: Builder, watch: Watch, tokenizer: PreTrainedTokenizerBase, max_length: int | None
) -> Scorer | None:
    """Margins of a policy in training; None: a reward model's, which the monitor knows itself."""
    if watch.form == "reward_model":
        return None
    reference = None if watch.reference is None else builder.table(watch.reference)
    return margins_of(watch.probe.frame, tokenizer, max_length, watch.form, watch.beta, reference)


def margins_of(
    pairs: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
    form: str,
    beta: float,
    reference: pd.DataFrame | None = None,
) -> Scorer:
    """Margins of a model in training on some pairs, in units of the score's temperature, as the analysis reads them.

    Args:
        form: kind of score, a key of ``methods.TAU``.
        reference: log-probabilities of the pairs under a policy's reference, where its score has one.
    """
    from w2s_pref.monitor.scorers import PolicyMargins, RewardMargins

    if form == "reward_model":
        return RewardMargins(pairs, tokenizer, max_length)
    if form == "mean_logprob":
        return PolicyMargins(pairs, tokenizer, max_length, beta=1.0, per_token=True)
    scale = beta if reference is not None else 1.0 / TAU[form]
    return PolicyMargins(pairs, tokenizer, max_length, beta=scale, reference=reference)


def _envelope(builder: Builder, watch: Watch) -> Envelope | None:
    """What the ceilings of the same node look like while they train; None with fewer than three of them."""
    from w2s_pref.monitor.alarms import Envelope

    if len(watch.envelope) < FEWEST:
        return None
    curves = [
        curve(builder, stage, weak, watch.probe).assign(run=number)
        for number, (stage, weak) in enumerate(watch.envelope)
    ]
    return Envelope.fit(pd.concat(curves, ignore_index=True), level=watch.config["level"])
