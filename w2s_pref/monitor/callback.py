"""The live monitor: a transformers callback that scores a fixed probe set while any Trainer trains, and warns.

It changes nothing of the training: weights are the same to the bit with and without it (unless an alarm stops them).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from torch import nn
from transformers import (
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from w2s_pref.analysis.risk.blind_spot import check_thresholds
from w2s_pref.core.errors import W2SError
from w2s_pref.models.batches.wrapped import untouched
from w2s_pref.monitor.alarms import Alarm, Envelope
from w2s_pref.monitor.config import BUDGET, TOLERATED, affordable_pairs, estimated_cost, interval
from w2s_pref.monitor.probe import Pairs, make_probe
from w2s_pref.monitor.record import MARGIN, Record
from w2s_pref.monitor.scorers import RewardMargins, Scorer
from w2s_pref.monitor.signals import LABEL_FREE, LABELLED, signals
from w2s_pref.monitor.weak import Weak
from w2s_pref.parallel.probing import agreed, gathered, shard, synchronize

log = logging.getLogger(__name__)

#: What to do on an alarm; a function gets the alarm, and the Trainer's state and control to act on.
Action = Literal["log", "checkpoint", "stop"] | Callable[[Alarm, TrainerState, TrainerControl], None]
ACTIONS = ("log", "checkpoint", "stop")
#: Looks between start and end where the cost cannot be estimated because the training's token counts are not known.
SCORINGS = 10
#: Training rows whose length is looked at.
SAMPLED_ROWS = 200


class RiskMonitor(TrainerCallback):  # type: ignore[misc]
    """Score the probe at the start, every ``every`` steps and at the end of a training.

    Args:
        probe: held-out pairs, as a table of pairs or TRL's rows; with truth the labelled signals are there too.
        weak: the folder of the saved weak model; or the table of ``w2s score`` on the probe (``id, delta``), or its
            file; or ``id, score_a, score_b`` or ``id, p_a`` of the pairs' ``a`` and ``b``, or a function of the pairs
            that returns one of these. A number that does not say of which answer it is is refused.
        training_groups: groups or prompts that are trained on; a probe that shares one is refused.
        folder: where ``monitor.parquet`` is written and, by a resumed training, continued; None keeps it in memory.
        every: steps between two looks; "auto" takes the fewest that keep the estimated cost at ``config.BUDGET`` of
            the training, from counts of tokens: the same training is looked at, at the same steps, anywhere.
        tokenizer: of the model in training; the Trainer's own when None.
        score: a scorer (see ``scorers``); the margin of a reward model when None.
        max_length: longest text in tokens, for the default scorer and a weak model that is loaded.
        thresholds: (t_strong, t_weak) of blind-spot deception, in [.5, 1].
        envelope: of reference runs; without one there are no alarms.
        watch: the signals that raise alarms. Each one watched adds its own false alarms.
        action: on an alarm.
        keep_margins: keep the probe's margins of every look in the table, to read it against another weak model later.
        on_signal: called with the step and the signals after each look, on the main process.

    Raises:
        W2SError: a bad probe, bad weak scores, or a setting that is not known.
    """

    def __init__(
        self,
        probe: Pairs,
        weak: Weak,
        *,
        training_groups: Iterable[Any],
        folder: Path | str | None = None,
        every: int | Literal["auto"] = "auto",
        tokenizer: PreTrainedTokenizerBase | None = None,
        score: Scorer | None = None,
        max_length: int | None = 512,
        thresholds: tuple[float, float] = (0.75, 0.75),
        envelope: Envelope | None = None,
        watch: Sequence[str] = ("var",),
        action: Action = "log",
        on_signal: Callable[[int, dict[str, float]], None] | None = None,
        keep_margins: bool = False,
    ) -> None:
        check_thresholds(*thresholds)
        if every != "auto" and not (isinstance(every, int) and every > 0):
            raise W2SError(f"monitor: every is {every!r}; give a number of steps of at least 1, or 'auto'")
        if not callable(action) and action not in ACTIONS:
            raise W2SError(f"monitor: action {action!r} is unknown; choose one of {', '.join(ACTIONS)}, or a function")
        self.probe = make_probe(probe, weak, training_groups, thresholds[1], max_length)
        self.thresholds, self.envelope, self.action, self.on_signal = thresholds, envelope, action, on_signal
        self.watch = _watched(watch, envelope, self.probe.truth is not None)
        self.every: int | None = None if every == "auto" else every
        self.alarms: list[Alarm] = []
        self._record = Record(None if folder is None else Path(folder))
        self._tokenizer, self._score, self._max_length = tokenizer, score, max_length
        self._trainer: Trainer | None = None
        self._began = self._seconds = self._elapsed = 0.0
        self._interval = 0
        self._keep_margins = keep_margins
        self._margin: list[float] = []

    def attach(self, trainer: Trainer) -> RiskMonitor:
        """Add the monitor to a Trainer, so that its signals also reach the trackers of ``report_to``."""
        self._trainer = trainer
        trainer.add_callback(self)
        return self

    @property
    def table(self) -> pd.DataFrame:
        """One row a look: step, fraction (of the steps of the training), loss (newest logged), and the signals."""
        return self._record.table

    @property
    def cost(self) -> float:
        """Seconds spent in the monitor over seconds spent on the rest of the training, in this process."""
        elapsed = self._elapsed or time.perf_counter() - self._began
        return self._seconds / (elapsed - self._seconds) if elapsed > self._seconds else 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the Trainer once everything is loaded, a checkpoint included."""
        self._began, self._seconds, self._elapsed = time.perf_counter(), 0.0, 0.0
        if self._score is None:
            self._score = self._default_scorer(kwargs.get("processing_class"))
        self._interval = self.every or self._affordable(args, state, kwargs.get("train_dataloader"))
        self._record.resume(state.global_step, kwargs.get("inside", False))
        self._record.rows = agreed(self._record.rows)
        self._recall(control)
        self._seconds += time.perf_counter() - self._began
        if self._trainer is None and args.report_to and state.is_world_process_zero:
            log.warning("monitor: to see the signals in %s, add it with monitor.attach(trainer)", args.report_to)
        if self._record.last is None or self._due(state):  # a training that goes on looks where it would have
            self._score_probe(state, control, kwargs["model"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the Trainer after every optimizer step."""
        if self._due(state) or control.should_training_stop:
            self._score_probe(state, control, kwargs["model"])

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the Trainer after the last step."""
        self._score_probe(state, control, kwargs["model"])
        self._elapsed = time.perf_counter() - self._began

    def _due(self, state: TrainerState) -> bool:
        step = int(state.global_step)
        return step % self._interval == 0 or step >= int(state.max_steps)

    def _score_probe(self, state: TrainerState, control: TrainerControl, model: nn.Module) -> None:
        """Score the probe once at this step, write, report, and act on alarms."""
        if self._record.last == state.global_step:
            return
        synchronize()
        started = time.perf_counter()
        found = self._signals(model, state.global_step)
        row = {"step": state.global_step, "fraction": state.global_step / max(1, state.max_steps)}
        main = bool(state.is_world_process_zero)
        margins = {MARGIN: self._margin} if self._keep_margins else {}
        self._record.add({**row, "loss": _newest_loss(state), **found, **margins}, write=main)
        raised = self._new_alarms(state.global_step)
        self._tell(found, raised, control)
        if main and self.on_signal is not None:
            self.on_signal(state.global_step, found)
        for alarm in raised:
            self._act(alarm, state, control)
        self._seconds += time.perf_counter() - started

    def _signals(self, model: nn.Module, step: int) -> dict[str, float]:
        assert self._score is not None
        part = shard()
        with untouched(model):
            margin = gathered(np.asarray(self._score(model, part), dtype=np.float64), part)
        if margin.shape != self.probe.weak.shape:
            pairs = len(self.probe.weak)
            raise W2SError(f"monitor: the scorer gave values of shape {margin.shape} for {pairs} pairs; one a pair")
        self._margin = margin.tolist()
        if np.isfinite(margin).all():
            return signals(margin, self.probe.weak, self.probe.truth, *self.thresholds)
        log.warning("monitor: at step %d the model's scores are not numbers, so the signals are undefined", step)
        return dict.fromkeys(LABEL_FREE + (LABELLED if self.probe.truth is not None else ()), float("nan"))

    def _new_alarms(self, step: int) -> list[Alarm]:
        """Alarms that this look raised; those of earlier looks, of an interrupted run too, are known already."""
        if self.envelope is None:
            return []
        self.alarms = self.envelope.alarms(self.table, self.watch)
        return [alarm for alarm in self.alarms if alarm.step == step]

    def _recall(self, control: TrainerControl) -> None:
        """A resumed training knows the alarms of before, and ends where one of them had asked it to."""
        self.alarms = self.envelope.alarms(self.table, self.watch) if self.envelope and self._record.rows else []
        if self.alarms and self.action == "stop":
            control.should_training_stop = True

    def _tell(self, found: dict[str, float], raised: list[Alarm], control: TrainerControl) -> None:
        """Write to the log history and the trackers, as ``Trainer.log`` does."""
        if self._trainer is None:
            return
        logs = {f"risk/{name}": value for name, value in found.items() if np.isfinite(value)}
        logs |= {f"risk/alarm_{alarm.signal}_{alarm.statistic}": alarm.value for alarm in raised}
        # TRL's own log would hand out, and forget, its averages of the steps so far; and any log takes back that the
        # Trainer is about to log this step's loss.
        about_to_log = control.should_log
        Trainer.log(self._trainer, logs)
        control.should_log = about_to_log

    def _act(self, alarm: Alarm, state: TrainerState, control: TrainerControl) -> None:
        if state.is_world_process_zero:
            log.warning("monitor: %s", alarm)
        if callable(self.action):
            self.action(alarm, state, control)
        elif self.action == "checkpoint":
            control.should_save = True
        elif self.action == "stop":
            control.should_training_stop = True

    def _default_scorer(self, processing_class: PreTrainedTokenizerBase | None) -> RewardMargins:
        tokenizer = self._tokenizer or processing_class
        if tokenizer is None:
            raise W2SError("monitor: the Trainer has no tokenizer; give tokenizer=, or a scorer of your own as score=")
        return RewardMargins(self.probe.pairs, tokenizer, self._max_length)

    def _affordable(self, args: TrainingArguments, state: TrainerState, loader: Any) -> int:
        """Steps between two looks, from the tokens of the probe and of a training step."""
        steps = max(1, int(state.max_steps))
        probe_tokens = getattr(self._score, "tokens", None)
        row_tokens = _row_tokens(getattr(loader, "dataset", None))
        if not probe_tokens or not row_tokens:  # a loop that is no Trainer has no loader, and no batch size in args
            return ceil(steps / SCORINGS)
        pairs = int(args.train_batch_size * args.gradient_accumulation_steps * args.world_size)
        every = interval(probe_tokens, row_tokens * pairs, steps)
        cost = estimated_cost(probe_tokens, row_tokens * pairs, steps, every)
        count = len(self.probe.weak)
        log.info("monitor: %d pairs every %d steps, about %.1f %% of the training", count, every, 100 * cost)
        if cost > TOLERATED * BUDGET and state.is_world_process_zero:
            fit = affordable_pairs(row_tokens * pairs * steps * count / probe_tokens, scorings=2)
            log.warning(
                "monitor: this training is short for its probe: looking twice at %d pairs costs about %.0f %% of it; "
                "%d pairs would cost %.0f %%",
                *(count, 100 * cost, fit, 100 * BUDGET),
            )
        return every


def _watched(watch: Sequence[str], envelope: Envelope | None, labelled: bool) -> tuple[str, ...]:
    """The signals to watch, each one known here and held by the envelope."""
    names = ("loss", *LABEL_FREE, *(LABELLED if labelled else ()))
    held = names if envelope is None else tuple(name for name in names if name in envelope.bands)
    absent = [name for name in watch if name not in held]
    if absent:
        why = "no signal of this probe" if absent[0] not in names else "not in the envelope"
        raise W2SError(f"monitor: watch names {absent[0]!r}, which is {why}; choose from {', '.join(held)}")
    return tuple(watch)


def _newest_loss(state: TrainerState) -> float:
    """The training loss logged last before this look, NaN before the first."""
    losses = (entry["loss"] for entry in reversed(state.log_history) if "loss" in entry)
    return float(next(losses, float("nan")))


def _row_tokens(dataset: Any) -> float | None:
    """Mean tokens of a training row, as it says or over all its lists of ids; None where rows cannot be looked at."""
    try:
        count = len(dataset)
        rows = [dataset[at] for at in range(0, count, max(1, count // SAMPLED_ROWS))]
        lists = [[ids for name, ids in row.items() if str(name).endswith("ids")] for row in rows]
        sizes = [row.get("tokens") or sum(map(len, ids)) for row, ids in zip(rows, lists, strict=True)]
    except (TypeError, KeyError, AttributeError, IndexError):
        return None
    return sum(sizes) / len(sizes) if sizes and sum(sizes) else None
