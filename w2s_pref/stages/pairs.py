"""What a training on labelled pairs reads: token ids, labels and signs of all its parts, and its effective batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import truth_of
from w2s_pref.engine.stage import payloads
from w2s_pref.labels.make import random_labels
from w2s_pref.models.info import ModelFacts
from w2s_pref.stages.frozen import reading_states
from w2s_pref.stages.labels import Part
from w2s_pref.stages.members import Raven
from w2s_pref.stages.model_stage import ModelStage, check_training, work_folder, write_history
from w2s_pref.stages.stop import Stop
from w2s_pref.stages.token_rewards import TokenRewards
from w2s_pref.stages.watch import Watch, copy_record, monitor
from w2s_pref.training.arguments import enlarged, planned_updates, rising

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from w2s_pref.data.token_cache import Tokenized
    from w2s_pref.engine.stage import Builder, Stage
    from w2s_pref.stages.model_stage import Loaded
    from w2s_pref.training.raven import SupervisorWeights


class PairTraining(ModelStage):
    """A training on the pairs of its parts; what it is told is fields of its stage."""

    model: ModelFacts
    seed: int
    parts: tuple[Part, ...]
    arguments: dict[str, Any]
    tokens: dict[str, Any]
    match_updates: bool
    watch: Watch | None
    stop: Stop | None
    raven: Raven | None

    def trained(
        self, builder: Builder, loaded: Loaded, job: Any, folder: Path, fit: Callable[..., dict[str, Any]]
    ) -> dict[str, Any]:
        """Train what was loaded, watched and stopped as the recipe says, and write the model and ``history.json``.

        Args:
            job: what ``fit`` is told of the training; it gets the monitor here.
            fit: (model, tokenizer, job, work folder, folder) → what the training says about itself.
        """
        from w2s_pref.training.trainer import Together

        work, longest = work_folder(builder, self), self.tokens["max_length"]
        rows = [part.rows.read(builder) for part in self.parts]
        model, tokenizer = loaded
        watched = monitor(builder, self.watch, rows, tokenizer, longest, work)
        selection = self.stop.selection(builder, job, tokenizer, work, longest) if self.stop is not None else None
        job.monitor = Together(selection, watched)  # the second sees that the first ends the training
        with reading_states(builder, self.model, model, tokenizer, rows, self.tokens):
            done = fit(model, tokenizer, job, work, folder)
        done |= copy_record(watched, work, folder, builder.world.main)
        done |= selection.restore(folder) if selection is not None else {}
        done |= {"supervisor_weights": job.raven.epochs} if job.raven is not None else {}
        write_history(builder, folder, done.pop("history"))
        return done

    @property
    def payload(self) -> dict[str, Any]:
        """The parts, whether their mixture makes no more updates, and what watches, ends and weighs the training."""
        mixed = {"match_updates": self.match_updates} if len(self.parts) > 1 else {}
        more = payloads(watch=self.watch, stop=self.stop, raven=self.raven)
        return {**super().payload, "parts": [part.payload for part in self.parts], **mixed, **more}

    @property
    def rows(self) -> int:
        """Training pairs."""
        return sum(len(part.rows) for part in self.parts)

    @property
    def rising(self) -> tuple[int, int]:
        """Optimizer steps and those of its warm-up, before any pair is dropped."""
        fixed = self.match_updates and len(self.parts) > 1
        return rising(self.arguments, len(self.parts[0].rows) if fixed else self.rows)

    def check(self, processes: int) -> None:
        """See ``check_training``."""
        check_training(self, planned_batch(self), processes)


@dataclass
class Pairs:
    """The parts of a training, one after another.

    Attributes:
        ids: lists by the names of ``Tokenized``: ``a_ids``, ``b_ids`` and, for policies, ``a_starts``, ``b_starts``.
        columns: ``p`` (label), ``sign`` (±1, or 0) and, where a margin reads them, ``ref_a`` and ``ref_b``.
        rewards: of the answers on both sides, ``TokenRewards.of``; empty lists where nobody reads them.
        counts: what tokenisation cut and dropped.
        sizes: pairs of each part.
    """

    ids: dict[str, Any]
    columns: dict[str, list[float]] = field(default_factory=dict)
    rewards: dict[str, list[tuple[Floats, Floats | None]]] = field(default_factory=lambda: {"a": [], "b": []})
    counts: dict[str, int] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    def add(self, tokens: Tokenized, table: pd.DataFrame) -> None:
        """One part more."""
        for name, values in self.ids.items():
            values += getattr(tokens, name)
        for column, entries in table.to_dict("list").items():
            self.columns.setdefault(str(column), []).extend(entries)
        self.sizes.append(len(table))
        self.counts |= {name: self.counts.get(name, 0) + value for name, value in tokens.counts.items()}

    def __len__(self) -> int:
        return sum(self.sizes)


def training_pairs(
    builder: Builder,
    stage: PairTraining,
    tokenizer: PreTrainedTokenizerBase,
    starts: bool = False,
    references: tuple[Stage, ...] = (),
    rewards: TokenRewards | None = None,
) -> Pairs:
    """All parts of a training, kept pairs only.

    Args:
        starts: with the places where the responses begin.
        references: log-probabilities of each part under the reference; may be empty.
        rewards: token rewards of each part.
    """
    pairs = Pairs({name: [] for name in ("a_ids", "b_ids", *(("a_starts", "b_starts") if starts else ()))})
    for number, part in enumerate(stage.parts):
        tokens, table = _read(builder, part, stage, tokenizer, starts)
        if references:
            logprobs = builder.table(references[number]).set_index("id").loc[list(tokens.ids)]
            table = table.assign(ref_a=logprobs["logp_a"].to_numpy(), ref_b=logprobs["logp_b"].to_numpy())
        if rewards is not None:
            for side, known in pairs.rewards.items():
                known += rewards.of(builder, number, tokens, side)
        pairs.add(tokens, table)
    return pairs


def _read(
    builder: Builder, part: Part, stage: PairTraining, tokenizer: PreTrainedTokenizerBase, starts: bool
) -> tuple[Tokenized, pd.DataFrame]:
    """Token ids, labels and signs of one part, joined by id."""
    from w2s_pref.data.tokens import tokenize

    frame = part.rows.read(builder).frame
    truth = truth_of(frame).set_axis(frame["id"])
    labels = _labels(builder, part, stage.seed)
    if not set(labels["id"].tolist()) <= set(frame["id"].tolist()):
        raise W2SError("labels name pairs that are not there; the label stage is stale")
    # Pairs that were too long for the supervisor have no label and are left out here too.
    labels = labels[labels["keep"]].set_index("id")
    tokens = tokenize(frame[frame["id"].isin(labels.index)], tokenizer, **stage.tokens, starts=starts)
    ids = list(tokens.ids)
    sign = np.sign(truth.loc[ids].to_numpy() * 2 - 1) if part.paid else np.zeros(len(ids))  # 0: neither is
    p = labels.loc[ids, "p"].to_numpy()
    table = pd.DataFrame({"p": 1 - p if part.reversed else p, "sign": sign.astype(float)})
    if stage.raven is not None:
        table = stage.raven.columns(builder, ids, table, weak=part is stage.parts[0] and part.labels != "truth")
    return tokens, table


def _labels(builder: Builder, part: Part, seed: int) -> pd.DataFrame:
    if not isinstance(part.labels, str):
        return builder.table(part.labels)
    frame = part.rows.frame
    if part.labels == "random":
        return random_labels(frame["id"], seed)
    return pd.DataFrame({"id": frame["id"], "p": truth_of(frame), "keep": True})


def learned(raven: Raven | None) -> SupervisorWeights | None:
    """The weights over supervisors that a training learns; None where it learns none."""
    from w2s_pref.training.raven import SupervisorWeights

    return None if raven is None else SupervisorWeights(raven.count, raven.rate, raven.easy)


def sized(stage: PairTraining, sizes: list[int]) -> tuple[dict[str, Any], int | None]:
    """Arguments, with the enlarged batch and the fixed number of updates of a mixture.

    Raises:
        W2SError: the first part has no pair.
    """
    if sizes[0] == 0:
        raise W2SError("no training pair is left (the label filter or overlong: drop took them all)")
    arguments = dict(stage.arguments)
    if stage.watch is not None and stage.watch.config["action"] == "checkpoint":
        arguments["save_total_limit"] = None  # or the alarm's checkpoint would be gone at the end
    if not (stage.match_updates and len(sizes) > 1):
        return arguments, None
    updates = planned_updates(sizes[0], arguments["batch_size"], arguments["num_train_epochs"])
    arguments["batch_size"] = enlarged(arguments["batch_size"], sum(sizes) / sizes[0])
    return arguments, updates


def planned_batch(stage: PairTraining) -> int:
    """The effective batch before any pair is dropped, a mixture's enlarged one included."""
    batch = int(stage.arguments["batch_size"])
    if stage.match_updates and len(stage.parts) > 1:
        return enlarged(batch, stage.rows / len(stage.parts[0].rows))
    return batch
