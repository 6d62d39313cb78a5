"""MACPO: a weak and a strong policy that teach each other by what they write, round by round.

Lyu et al. 2024 (arXiv 2410.07672). Each side has a positive policy and a negative agent, which does not change. In a
round both learn, by DPO and SFT, the other side's positive answers against those of their own negative agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from w2s_pref.core.errors import W2SError
from w2s_pref.stages.answers import SampleStage
from w2s_pref.stages.labels import Part
from w2s_pref.stages.model_stage import StartStage, check_language_model
from w2s_pref.stages.policies import PairPolicyStage
from w2s_pref.stages.rows import Rows
from w2s_pref.stages.written import Candidates, Chosen, of_prompts, written
from w2s_pref.studies.preferences.check import check_room
from w2s_pref.studies.preferences.study import Study
from w2s_pref.studies.preferences.task import Task, pair_arguments, reference_of
from w2s_pref.studies.preferences.watch import watch_of
from w2s_pref.training.arguments import MACPO_DEFAULTS, keyed
from w2s_pref.training.methods import Method, Node

#: Between a student's name and the number of a round before the last.
ROUND = " round "


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        title: what its stages are called.
        positive: its policy, as the last round left it.
        negative: the agent that writes what it is to unlearn.
        reference: what every round is held to.
    """

    title: str
    node: Node
    positive: PairPolicyStage
    negative: PairPolicyStage
    reference: StartStage


def add_rounds(study: Study, name: str, node: Node, task: Task, seed: int) -> None:
    """Enter the strong policy of every round; that of the last one is the student called ``name``.

    Round 0 is its positive agent before any round. The weak policy's last round teaches nobody and is left out.
    """
    found = study.recipe.method(node)
    _check(study, node, found)
    trainings = _Trainings(
        study, found, task, seed, of_prompts(f"prompts of {task.target.rows.name}", task.target.rows)
    )
    weak = trainings.weak()
    strong = trainings.strong(name, node, weak)
    entered = study.rounds.setdefault(name.rpartition("/")[0], {})
    for number in range(found.config.rounds + 1):
        last = number == found.config.rounds
        title = name if last else f"{name}{ROUND}{number}"
        if number:
            watch = watch_of(study, name, node, seed, strong.reference) if last else None
            learned = replace(trainings.round(strong, weak, title), watch=watch)
            weak = (
                weak if last else replace(weak, positive=trainings.round(weak, strong, f"{weak.title}{ROUND}{number}"))
            )
            strong = replace(strong, positive=learned)
        entered[title] = number
        study.add_trained(title, node, strong.positive, seed)


def _check(study: Study, node: Node, found: Method) -> None:
    speech = study.recipe.speech
    if speech.temperature == 0 and found.config.candidates > 1:
        raise W2SError(
            f"methods.{found.name}.candidates: speech.temperature 0 writes the same answer {found.config.candidates} "
            "times; set candidates: 1, or a temperature above zero"
        )
    check_room(study, node.model, speech.max_new_tokens, "speech.max_new_tokens")


@dataclass(frozen=True)
class _Trainings:
    """What all trainings of one student's rounds share."""

    study: Study
    found: Method
    task: Task
    seed: int
    prompts: Rows

    def weak(self) -> Side:
        """The supervisor as it is; its negative agent learns from what its own pairs disprefer."""
        supervisor = self.task.supervisor
        positive, node = self.study.trained[supervisor, self.seed], self.study.nodes[supervisor]
        assert isinstance(positive, PairPolicyStage)  # the recipe says so
        check_room(self.study, node.model, self.study.recipe.speech.max_new_tokens, "speech.max_new_tokens")
        own = replace(positive.parts[0], paid=False, reversed=True)
        title = f"{supervisor} beside {self.found.name}"
        negative = self._tuned(f"{title} negative", node, positive, own, "negative")
        return Side(title, node, positive, negative, self._as_is(node))

    def strong(self, name: str, node: Node, weak: Side) -> Side:
        """Both agents, which learn from what the weak side's agents write."""
        base = self._as_is(node)
        candidates = self._candidates(f"{name}{ROUND}0", weak, weak.negative)
        chosen = Chosen(f"first pairs of {candidates.name}", candidates)
        pairs = Part(written(self.prompts, chosen), chosen)
        positive = self._tuned(f"{name}{ROUND}0", node, base, pairs, "sft")
        reference = reference_of(self.study, node, self.seed, self.found)
        if reference is not None:
            positive = replace(positive, other=reference)
        turned = replace(pairs, reversed=True)
        negative = self._tuned(f"{name} negative", node, positive, turned, "negative")
        return Side(name, node, positive, negative, reference or base)

    def round(self, own: Side, other: Side, title: str) -> PairPolicyStage:
        """One round: of the other side's answers those of the lowest perplexity, against those of its own agent."""
        study, config = self.study, self.found.config
        candidates = self._candidates(title, other, own.negative)
        every = written(self.prompts, candidates)
        read = study.logprobs(own.positive, every, _bare(own.positive), self.seed)
        chosen = Chosen(f"chosen {candidates.name}", candidates, read, config.keep)
        pairs = written(self.prompts, chosen)
        reference = study.logprobs(own.reference, pairs, f"reference of {title}", self.seed)
        objective: dict[str, Any] = {"name": "dpo", "beta": self.found.beta, "gamma": 0.0}
        if config.sft_weight:
            objective["sft_weight"] = config.sft_weight
        arguments = pair_arguments(study.recipe, own.node, MACPO_DEFAULTS["training"] | config.training)
        return PairPolicyStage(
            self._title(title), own.positive, own.reference, self.seed, arguments, keyed(arguments), study.tokens,
            (Part(pairs, chosen),), (reference,), objective, match_updates=study.recipe.conflict.match_updates,
        )  # fmt: skip

    def _tuned(
        self, title: str, node: Node, start: StartStage | PairPolicyStage, part: Part, which: str
    ) -> PairPolicyStage:
        """An agent: fine-tuned on the answers that the labels prefer."""
        given: Mapping[str, Any] = MACPO_DEFAULTS["sft"] | self.found.config.sft
        if which == "negative":
            given = {**given, **MACPO_DEFAULTS["negative"], **self.found.config.negative}
        arguments = pair_arguments(self.study.recipe, node, dict(given))
        return PairPolicyStage(
            self._title(title), start, None, self.seed, arguments, keyed(arguments), self.study.tokens, (part,), (),
            {"name": "sft"}, match_updates=self.study.recipe.conflict.match_updates,
        )  # fmt: skip

    def _candidates(self, title: str, other: Side, negative: PairPolicyStage) -> Candidates:
        positive = self._said(other.positive, self.found.config.candidates)
        return Candidates(self._title(f"pairs for {title}"), positive, self._said(negative, 1))

    def _said(self, policy: PairPolicyStage, samples: int) -> SampleStage:
        """Its answers to the prompts of the weakly labelled pairs."""
        speech = self.study.recipe.speech.model_dump(include={"temperature", "max_new_tokens", "batch_size"})
        title = f"{_bare(policy)} answers on {self.prompts.name}"
        return SampleStage(
            self._title(title), policy, self.prompts, {"samples": samples, **speech}, self.seed, self.study.tokens
        )

    def _as_is(self, node: Node) -> StartStage:
        model = self.study.models[node.model]
        check_language_model(model)
        return StartStage(f"{node.model} as it is", model, self.seed)

    def _title(self, name: str) -> str:
        return f"{name} · seed {self.seed}"


def _bare(stage: PairPolicyStage) -> str:
    """Its name without the seed."""
    return stage.name.partition(" · ")[0]
