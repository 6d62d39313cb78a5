"""The cost of every stage of a recipe: tokens, FLOPs, memory, storage, seconds; and seconds as they were measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatchmethod
from typing import Any

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Stage
from w2s_pref.models.info import ModelFacts
from w2s_pref.models.shapes import BYTES, Shape, shape
from w2s_pref.planning.cost.classifiers import vectors
from w2s_pref.planning.cost.memory import ADAPTED, Sharding, training_memory
from w2s_pref.planning.cost.speed import Bench, Speed
from w2s_pref.planning.cost.work import Lengths, Work, heard, lengths, states, work
from w2s_pref.stages.answers import JudgeStage, SampleStage
from w2s_pref.stages.arguments import ArgumentStage
from w2s_pref.stages.frozen import frozen_layers, states_key
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.model_stage import StartStage
from w2s_pref.stages.online import OnlinePolicyStage
from w2s_pref.stages.policies import LogProbStage, PairPolicyStage, PolicyStage
from w2s_pref.stages.prompted import PromptedScores
from w2s_pref.stages.refined import RefinedScores
from w2s_pref.stages.rewards import ScoreStage, TrainStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.finetune import FinetuneStage, PromptStage
from w2s_pref.studies.generalization.probes import ActivationStage
from w2s_pref.studies.kind import AnyOpened

#: Form of rows that are a task's items, of one text each.
ITEM = "item"
#: Bytes of a row in a table of scores, labels or log-probabilities.
ROW_BYTES = 40
#: Bytes of an answer token in a table of token log-probabilities: the number and the token.
TOKEN_BYTES = 8


@dataclass(frozen=True)
class Device:
    """An accelerator that is not here: its peak in FLOP/s, and the share of it that a training reaches (MFU)."""

    peak: float
    mfu: float = 0.4


@dataclass(frozen=True)
class Cost:
    """One stage: ``memory`` in bytes of one process, ``storage`` in bytes of its artifact, times in seconds.

    States behind frozen layers are counted, in ``storage`` and FLOPs, with the first stage that reads them.

    ``model`` is the recipe's name. ``memory`` and ``storage`` are None where the model's shape is not known, ``memory``
    also where nothing is trained. ``seconds`` is the estimate (None where nothing was calibrated for this kind of
    stage), ``measured`` what building it took, where it stands in the store.
    """

    kind: str
    model: str
    name: str
    work: Work
    memory: int | None
    storage: float | None
    seconds: float | None
    measured: float | None


class Estimator:
    """Costs of the stages of an opened recipe.

    Args:
        calibrate: measure this machine's speed with the recipe's models (seconds to minutes).
        device: take this accelerator's speed instead.
    """

    def __init__(
        self, opened: AnyOpened, sharding: Sharding | None = None, calibrate: bool = False, device: Device | None = None
    ) -> None:
        self.opened, self.sharding, self.device = opened, sharding or Sharding(), device
        self.calibrate = calibrate
        self._lengths: dict[tuple[str, str], Lengths] = {}
        self._kept: set[str] = set()
        self._speeds: dict[tuple[str, ...], Speed] = {}

    def costs(self) -> list[Cost]:
        """One entry a stage, in building order.

        Raises:
            W2SError: a model whose shape is not known, or one that is not here and should be calibrated.
        """
        return [self._cost(stage) for stage in self.opened.stages]

    @property
    def assumed(self) -> bool:
        """True where the length of some texts is assumed, not measured."""
        return any(not size.measured for size in self._lengths.values())

    def _cost(self, stage: Stage) -> Cost:
        facts, rows = _model(stage), _rows(stage)
        done, kept = Work(), 0.0
        if facts is not None and rows is not None:
            known = shape(facts)
            if known is None:
                raise W2SError(f"model {facts.spec.path!r}: its shape is not known; download it, or use a local folder")
            done = work(stage, known, self._size(rows, facts))
            kept, flops = self._states(stage, facts, known)
            done = done._replace(flops=done.flops + flops)
            if isinstance(stage, LogProbStage) and stage.each:
                kept += len(rows) * self._size(rows, facts).answers * TOKEN_BYTES
        meta = self.opened.store.meta(stage.kind, stage.key)  # a plan fetches no file, and sets none aside
        return Cost(
            stage.kind,
            "" if facts is None else self._named(facts),
            stage.name,
            done,
            training_memory(stage, self.sharding),
            None if (own := _storage(stage)) is None else own + kept,
            self._seconds(stage, facts, rows, done),
            None if meta is None else float(meta["seconds"]),
        )

    def _named(self, facts: ModelFacts) -> str:
        """The recipe's name of a model; for one that a method changed, the name of the model it is made from."""
        models = self.opened.study.models
        same = [name for name, own in models.items() if own == facts]
        alike = [name for name, own in models.items() if own.hash == facts.hash]
        return str((same or alike or [facts.spec.path.rstrip("/").rsplit("/", 1)[-1]])[0])

    def _states(self, stage: Stage, facts: ModelFacts, known: Shape) -> tuple[float, float]:
        """Bytes and FLOPs of states behind frozen layers that no stage before this one reads."""
        found = (0.0, 0.0)
        for rows in _reads_states(stage) if frozen_layers(facts) else ():
            key = states_key(facts, rows, self.opened.study.tokens)
            if key not in self._kept:
                self._kept.add(key)
                size = heard(rows, self._size(rows, facts), self.opened.study.tokens["max_length"])
                more = states(facts, len(rows), known, size)
                found = (found[0] + more[0], found[1] + more[1])
        return found

    def _size(self, rows: Rows, facts: ModelFacts) -> Lengths:
        key = (rows.texts, facts.tokenizer_hash)
        if key not in self._lengths:
            frame = rows.frame
            if self.opened.prepared.hashes.get(rows.name) == "unreachable":
                frame = frame.head(0)
            items = bool((rows.frame["form"] == ITEM).all())
            self._lengths[key] = lengths(frame, facts, self.opened.study.tokens, items)
        return self._lengths[key]

    def _seconds(self, stage: Stage, facts: ModelFacts | None, rows: Rows | None, done: Work) -> float | None:
        if self.device is not None:
            return done.flops / (self.device.peak * self.device.mfu)
        if not self.calibrate or facts is None or rows is None or not done.pairs:
            return None
        speed = self._speed(stage, facts, rows)
        return None if speed is None else speed.seconds(done.pairs)

    @singledispatchmethod
    def _speed(self, stage: Stage, facts: ModelFacts, rows: Rows) -> Speed | None:
        """What is not calibrated: the time of on-policy training and answers depends on what the policy says.

        Nor are the laboratory's classifiers.
        """
        return None

    @_speed.register
    def _(self, stage: TrainStage, facts: ModelFacts, rows: Rows) -> Speed | None:
        given = stage.arguments
        return self._measured(("reward", str(given["batch_size"])), facts, rows, lambda b: b.reward_training(given))

    @_speed.register
    def _(self, stage: PairPolicyStage, facts: ModelFacts, rows: Rows) -> Speed | None:
        given = stage.arguments
        return self._measured(("policy", str(given["batch_size"])), facts, rows, lambda b: b.policy_training(given))

    @_speed.register
    def _(self, stage: ScoreStage, facts: ModelFacts, rows: Rows) -> Speed | None:
        return self._measured(("score",), facts, rows, Bench.scoring)

    @_speed.register
    def _(self, stage: LogProbStage, facts: ModelFacts, rows: Rows) -> Speed | None:
        return self._measured(("logprobs",), facts, rows, Bench.logprobs)

    def _measured(
        self, what: tuple[str, ...], facts: ModelFacts, rows: Rows, measure: Callable[[Bench], Speed]
    ) -> Speed:
        """The speed of one model at one thing, measured once."""
        key = (*what, facts.hash)
        if key not in self._speeds:
            if facts.folder is None:
                raise W2SError(f"model {facts.spec.path!r} is not here to be calibrated; give --tflops instead")
            sample = rows.frame.sample(min(len(rows.frame), 256), random_state=0)
            self._speeds[key] = measure(Bench(facts.spec, self.opened.base, sample, self.opened.study.tokens))
        return self._speeds[key]


def _model(stage: Stage) -> ModelFacts | None:
    """The model that does the stage's work."""
    if isinstance(stage, TrainStage | PolicyStage | StartStage | FinetuneStage | PromptStage):
        return stage.model
    if isinstance(stage, ActivationStage):
        return stage.model.model if isinstance(stage.model, FinetuneStage) else stage.model
    if isinstance(stage, ScoreStage | PromptedScores | RefinedScores):
        return stage.model.model
    if isinstance(stage, LogProbStage | SampleStage):
        return stage.policy.model
    if isinstance(stage, ArgumentStage):
        return stage.arguer.model
    return stage.samples.policy.model if isinstance(stage, JudgeStage) else None


def _rows(stage: Stage) -> Rows | None:
    """The pairs whose lengths the stage's work depends on."""
    if isinstance(stage, TrainStage | PairPolicyStage):
        return stage.parts[0].rows if stage.parts else None
    if isinstance(stage, OnlinePolicyStage | SampleStage):
        return stage.prompts
    if isinstance(stage, JudgeStage):
        return stage.samples.prompts
    if isinstance(stage, FinetuneStage) and stage.texts is not None:
        return stage.texts
    return stage.on if isinstance(stage, Scored | LogProbStage | ArgumentStage | ActivationStage) else None


def _reads_states(stage: Stage) -> list[Rows]:
    """The pairs or items that a stage reads states of, where its model has frozen layers."""
    if isinstance(stage, TrainStage | PairPolicyStage):
        return [part.rows for part in stage.parts]
    if isinstance(stage, FinetuneStage):
        return stage.read
    return [stage.on] if isinstance(stage, ScoreStage | LogProbStage) else []


def _storage(stage: Stage) -> float | None:
    """Bytes of the artifact: weights of a trained model (its adapter alone where it has one), or rows of a table."""
    facts = _model(stage)
    known = None if facts is None else shape(facts)
    if isinstance(stage, ActivationStage):
        return None if known is None else vectors(stage, known)
    if facts is None or not (isinstance(stage, TrainStage | PolicyStage) or getattr(stage, "keep", False)):
        return float((len(stage.on) if isinstance(stage, Scored) else stage.rows) * ROW_BYTES)
    if known is None:
        return None
    spec = facts.spec
    return known.parameters * BYTES.get(spec.dtype, 4) * (ADAPTED if spec.lora is not None else 1.0)


def totals(costs: list[Cost]) -> dict[str, Any]:
    """Sums over stages, and how far estimated seconds are from measured ones where both are there.

    ``storage`` sums what is known; None where nothing is.
    """
    both = [(cost.seconds, cost.measured) for cost in costs if cost.seconds is not None and cost.measured is not None]
    estimated, measured = sum(e for e, _ in both), sum(m for _, m in both)
    sizes = [cost.storage for cost in costs if cost.storage is not None]
    return {
        "flops": sum(cost.work.flops for cost in costs),
        "trained_tokens": sum(cost.work.trained for cost in costs),
        "scored_tokens": sum(cost.work.scored for cost in costs),
        "generated_tokens": sum(cost.work.generated for cost in costs),
        "storage": sum(sizes) if sizes else None,
        "memory": max((cost.memory or 0 for cost in costs), default=0),
        "seconds": sum(cost.seconds or 0.0 for cost in costs),
        "compared_stages": len(both),
        "compared_estimate": estimated,
        "compared_measured": measured,
        "error": estimated / measured - 1 if measured else None,
    }
