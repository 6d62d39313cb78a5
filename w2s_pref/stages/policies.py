"""The stages of policies: log-probabilities, training on pairs and from rewards, answers, and their judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

from w2s_pref.models.info import ModelFacts
from w2s_pref.stages.rewards_labels_scores import (
    LabelStage,
    Part,
    Rows,
    Scored,
    Stage,
    TrainStage,
    Watch,
    model_payload,
)


@dataclass(frozen=True, eq=False)
class StartStage(Stage):
    """The causal model that a policy starts from: files of the recipe, never built and never stored."""

    kind: ClassVar[str] = "start"
    model: ModelFacts
    seed: int

    @property
    def payload(self) -> dict[str, Any]:
        """The model; the seed only where it draws the weights."""
        return {
            "model": model_payload(self.model),
            "seed": self.seed if self.model.spec.from_config is not None else None,
        }


@dataclass(frozen=True, eq=False)
class PolicyStage(Stage):
    """A trained policy. ``start`` is where it started, and its reference where ``other`` names none."""

    kind: ClassVar[str] = "policy"
    start: StartStage | PolicyStage
    other: StartStage | None
    seed: int
    arguments: dict[str, Any]
    keyed: dict[str, Any]
    tokens: dict[str, Any]
    watch: Watch | None = field(default=None, kw_only=True)

    @cached_property
    def model(self) -> ModelFacts:
        """The model files at the very beginning."""
        return self.start.model

    @property
    def reference(self) -> StartStage | PolicyStage:
        """What the policy is held to, and compared with."""
        return self.other or self.start

    @property
    def inputs(self) -> dict[str, Stage]:
        """The start, where it was trained itself, and what the monitor reads."""
        start: dict[str, Stage] = {"start": self.start} if isinstance(self.start, PolicyStage) else {}
        return {**start, **(self.watch.inputs if self.watch is not None else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """Start, arguments, seed."""
        start = self.start.payload if isinstance(self.start, StartStage) else None
        other = {"reference": self.other.payload} if self.other is not None else {}
        if self.watch is not None:
            other["watch"] = self.watch.payload
        return {"start": start, "seed": self.seed, "arguments": self.keyed, "tokens": self.tokens, **other}


@dataclass(frozen=True, eq=False)
class LogProbStage(Stage):
    """Summed log-probabilities of both answers of every pair under one policy, and their numbers of tokens."""

    kind: ClassVar[str] = "logprobs"
    policy: StartStage | PolicyStage
    on: Rows
    tokens: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """The policy, where it was trained."""
        return {"policy": self.policy} if isinstance(self.policy, PolicyStage) else {}

    @property
    def payload(self) -> dict[str, Any]:
        """Texts and token limits; the model where it was not trained."""
        start = self.policy.payload if isinstance(self.policy, StartStage) else None
        return {"start": start, "rows": self.on.texts, "tokens": self.tokens}

    @property
    def rows(self) -> int:
        """Pairs to score."""
        return len(self.on)


@dataclass(frozen=True, eq=False)
class PairPolicyStage(PolicyStage):
    """A policy trained on labelled pairs: SFT, DPO, SimPO, IPO, or a user's margin. No parts: never built."""

    parts: tuple[Part, ...]
    references: tuple[LogProbStage, ...]
    objective: dict[str, Any]
    code: str = ""
    match_updates: bool = True

    @property
    def inputs(self) -> dict[str, Stage]:
        """Start, label stages, and reference log-probabilities of the parts."""
        labels = {f"labels{n}": part.labels for n, part in enumerate(self.parts) if isinstance(part.labels, Stage)}
        references = {f"reference{n}": stage for n, stage in enumerate(self.references)}
        return {**super().inputs, **labels, **references}

    @property
    def payload(self) -> dict[str, Any]:
        """Start, data, objective, the source of a user's margin."""
        mixed = {"match_updates": self.match_updates} if len(self.parts) > 1 else {}
        parts = [part.payload for part in self.parts]
        return {**super().payload, "parts": parts, "objective": self.objective, "code": self.code, **mixed}

    @property
    def rows(self) -> int:
        """Training pairs."""
        return sum(len(part.rows) for part in self.parts)


@dataclass(frozen=True)
class Reward:
    """One reward of on-policy training.

    ``source`` is a reward model or policy whose scores (on the training prompts' pairs) standardise it, the folder of a
    saved reward model, the name of a Python function, or "random". ``role`` says what it is for: "target", "conflict"
    (added with ``weight``) or "paid" (explicit conflict: the target's ground truth, whose badness is paid for with
    ``weight``).
    """

    role: str
    source: Scored | str
    weight: float = 1.0
    code: str = ""


@dataclass(frozen=True, eq=False)
class OnlinePolicyStage(PolicyStage):
    """A policy trained on rewards of its own answers: PPO, RLOO, GRPO."""

    algorithm: Literal["ppo", "rloo", "grpo"]
    prompts: Rows
    labels: LabelStage | None
    rewards: tuple[Reward, ...]

    @property
    def inputs(self) -> dict[str, Stage]:
        """Start, labels (their filter chooses the prompts), and the scores that standardise the rewards."""
        found: dict[str, Stage] = {
            f"reward{n}": r.source for n, r in enumerate(self.rewards) if isinstance(r.source, Scored)
        }
        return {**super().inputs, **found, **({"labels": self.labels} if self.labels is not None else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """Start, algorithm, prompts, and the rewards' roles and weights."""
        rewards = [
            {
                "role": r.role,
                "weight": r.weight,
                "source": r.source if isinstance(r.source, str) else "",
                "code": r.code,
            }
            for r in self.rewards
        ]
        return {**super().payload, "algorithm": self.algorithm, "prompts": self.prompts.texts, "rewards": rewards}

    @property
    def rows(self) -> int:
        """Prompts."""
        return len(self.prompts)


@dataclass(frozen=True, eq=False)
class PolicyScoreStage(Scored):
    """Scores of a policy from its log-probabilities, and those of its reference where the form has one."""

    logprobs: LogProbStage
    reference: LogProbStage | None
    score: str
    beta: float

    @property
    def form(self) -> str:
        """implicit_reward, mean_logprob or paper_dpo."""
        return self.score

    @property
    def inputs(self) -> dict[str, Stage]:
        """Log-probabilities of both models."""
        return {
            "logprobs": self.logprobs,
            **({"reference": self.reference} if self.reference is not None else {}),
        }

    @property
    def payload(self) -> dict[str, Any]:
        """The formula."""
        return {"form": self.score, "beta": self.beta if self.score == "implicit_reward" else None}


@dataclass(frozen=True, eq=False)
class SampleStage(Stage):
    """Answers of one policy to test prompts."""

    kind: ClassVar[str] = "samples"
    policy: StartStage | PolicyStage
    prompts: Rows
    settings: dict[str, Any]
    seed: int
    tokens: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """The policy, where it was trained."""
        return {"policy": self.policy} if isinstance(self.policy, PolicyStage) else {}

    @property
    def payload(self) -> dict[str, Any]:
        """Prompts and sampling."""
        start = self.policy.payload if isinstance(self.policy, StartStage) else None
        ids = [list(row) for row in zip(self.prompts.frame["form"], self.prompts.frame["prompt"], strict=True)]
        return {"start": start, "prompts": ids, "settings": self.settings, "seed": self.seed, "tokens": self.tokens}

    @property
    def rows(self) -> int:
        """Answers."""
        return len(self.prompts) * int(self.settings["samples"])


@dataclass(frozen=True, eq=False)
class JudgeStage(Stage):
    """Answers under the reference policy, the gold reward models and the oracle."""

    kind: ClassVar[str] = "judged"
    samples: SampleStage
    reference: StartStage | PolicyStage
    gold: Mapping[str, TrainStage]
    oracle: str | None
    helpful_first: bool = False
    code: str = ""

    @property
    def inputs(self) -> dict[str, Stage]:
        """Samples, reference, gold models."""
        reference = {"reference": self.reference} if isinstance(self.reference, PolicyStage) else {}
        return {"samples": self.samples, **reference, **{f"gold {name}": stage for name, stage in self.gold.items()}}

    @property
    def payload(self) -> dict[str, Any]:
        """The oracle and which of its values is the target; the reference where it was not trained."""
        start = self.reference.payload if isinstance(self.reference, StartStage) else None
        return {"reference": start, "oracle": self.oracle, "helpful": self.helpful_first, "code": self.code}

    @property
    def rows(self) -> int:
        """Answers."""
        return self.samples.rows
