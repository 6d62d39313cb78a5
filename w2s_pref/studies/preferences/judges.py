"""Supervisors that judge arguments: who argues about a split, what the judge is, and what it makes of the pairs."""

from __future__ import annotations

from dataclasses import dataclass

from w2s_pref.core.errors import W2SError
from w2s_pref.data.sources import Source
from w2s_pref.labels.transcripts import Transcripts
from w2s_pref.stages.arguments import TEMPLATED, Argued, Arguments, ArgumentStage, TemplatedArguments, Transcript
from w2s_pref.stages.given import GivenScores, is_given, read_labels
from w2s_pref.stages.labels import Part, Scored
from w2s_pref.stages.model_stage import StartStage, check_language_model
from w2s_pref.stages.prompted import PromptedScores
from w2s_pref.stages.rewards import ScoreStage, TrainStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.preferences.nodes import ceiling, reward_model
from w2s_pref.studies.preferences.study import Study
from w2s_pref.studies.preferences.supervisors import PROMPTED, SupervisorConfig
from w2s_pref.studies.preferences.task import Task
from w2s_pref.training.methods import Node, node

#: Tokens that question and answer need beside a transcript, at the very least.
LEAST_TOKENS = 16
#: What is read in the place of transcripts, beside every supervisor that reads its own.
NULLS: tuple[Transcripts, ...] = ("shuffled", "blank")


def add_judge(study: Study, name: str, seed: int) -> None:
    """Enter a supervisor of the recipe as if a model had made its labels, and beside it what it is compared with.

    Its scores stand under ``ceiling/NAME``, those of the naive judge and under the nulls under that and their name.
    """
    if (name, seed) in study.judges:
        return
    judge = Judge(study, name, study.recipe.supervisors[name], seed)
    judge.check()
    study.judges[name, seed] = judge.scored
    test, own = study.rows["test"], f"ceiling/{name}"
    study.scores[own, seed, "test"] = judge.scored(test)
    if judge.config.protocol == "naive":
        return
    about = {"judge": judge.config.judge, "protocol": judge.config.protocol, "argued": own}
    about["naive"] = judge.naive_name()
    study.scores[about["naive"], seed, "test"] = judge.naive(test)
    for null in NULLS if judge.config.transcripts == "own" else ():
        about[null] = f"{own} {null}"
        study.scores[about[null], seed, "test"] = judge.scored(test, null)
    study.judge_scores[name] = about
    study.arguments[name] = judge.arguments(test)


@dataclass(frozen=True)
class Judge:
    """One supervisor under one seed."""

    study: Study
    name: str
    config: SupervisorConfig
    seed: int

    def scored(self, rows: Rows, transcripts: Transcripts | None = None) -> Scored:
        """What the judge makes of the pairs, with these transcripts; default: those that the recipe says."""
        read = transcripts or self.config.transcripts
        return self._scored(f"{self.name}, {read}, on {rows.name} · seed {self.seed}", self._argued(rows, read))

    def naive(self, rows: Rows) -> Scored:
        """What it makes of them without any; of a trained judge the one that was trained without."""
        return self._scored(f"{self.name}, naive, on {rows.name} · seed {self.seed}", rows)

    def _scored(self, title: str, argued: Rows) -> Scored:
        if is_given(self.config.judge):
            return GivenScores(title, argued, self.config.judge, self.study.base, None)
        place = node(self.config.judge)
        if place.method == PROMPTED:
            return PromptedScores(title, argued, self._start(place.model), self.config.question)
        if not isinstance(argued, Argued):
            return self.study.scored(ceiling(self.study, place, self.seed), argued, self.seed)
        return ScoreStage(title, argued, self._model(place), self.study.tokens)

    def naive_name(self) -> str:
        """What the judge without transcripts is called among the scores."""
        place = node(self.config.judge)
        plain = is_given(self.config.judge) or place.method == PROMPTED
        return f"ceiling/{self.name} naive" if plain else f"ceiling/{place}"

    def arguments(self, rows: Rows) -> Arguments:
        """The last turn about these pairs."""
        config, critique = self.config, self.config.protocol == "critique"
        title = f"{config.arguers} {'criticises' if critique else 'argues'} on {rows.name}"
        if config.arguers == TEMPLATED:
            helpful = self.study.helpful_first
            return TemplatedArguments(title, rows, critique, config.seed, helpful, config.honest)
        last: ArgumentStage | None = None
        for turn in range(1, config.turns + 1):
            about = f"{title}, turn {turn}" if config.turns > 1 else title
            arguer, asked = self._start(str(config.arguers)), (config.question, config.sampling)
            last = ArgumentStage(about, rows, critique, config.seed, arguer, *asked, last)
        assert last is not None
        return last

    def _argued(self, rows: Rows, transcripts: Transcripts) -> Rows:
        config = self.config
        if config.protocol == "naive":
            return rows
        choice = None
        if config.protocol == "open_consultancy" and config.arguers != TEMPLATED:
            title = f"{config.arguers} chooses a side on {rows.name}"
            choice = PromptedScores(title, rows, self._start(str(config.arguers)), config.question)
        last = self.arguments(rows)
        transcript = Transcript(last, config.protocol, transcripts, self.seed, choice)
        return Argued(rows.name, rows.frame, rows.control, transcript=transcript)

    def _start(self, model: str) -> StartStage:
        facts = self.study.models[model]
        check_language_model(facts)
        return StartStage(f"{model} as it is", facts, self.seed if facts.spec.from_config is not None else 0)

    def _model(self, place: Node) -> TrainStage:
        """The reward model that judges: trained on ground truth, with transcripts in view or without."""
        if self.config.trained_on == "pairs":
            stage = self.study.trained[ceiling(self.study, place, self.seed), self.seed]
            assert isinstance(stage, TrainStage)
            return stage
        name = f"judge/{self.name}"
        if (name, self.seed) not in self.study.trained:
            argued = self._argued(self.study.rows["gt"], self.config.transcripts)
            self.study.trained[name, self.seed] = reward_model(
                self.study, name, place, Task(Part(argued, "truth")), self.seed
            )
        found = self.study.trained[name, self.seed]
        assert isinstance(found, TrainStage)
        return found

    def check(self) -> None:
        """Refuse what would fail after hours of arguing.

        Raises:
            W2SError: templated arguers on other pairs than the testbed's, a function that is not there, or no room.
        """
        where, config, study = f"supervisors.{self.name}", self.config, self.study
        if is_given(config.judge):
            read_labels(config.judge, study.base)
        target = study.recipe.data.target
        if config.arguers == TEMPLATED and not (isinstance(target, Source) and target.source == "testbed"):
            raise W2SError(f"{where}.arguers: templated arguers know the facts of the testbed alone; name a model")
        if config.protocol == "naive" or config.arguers == TEMPLATED:
            return
        room = study.models[str(config.arguers)].context
        if room is not None and config.max_new_tokens + LEAST_TOKENS > room:
            raise W2SError(
                f"{where}: {config.arguers!r} cannot write arguments of {config.max_new_tokens} tokens: its context of "
                f"{room} holds question and answers, too; lower max_new_tokens, or name another model as arguers"
            )
        if is_given(config.judge):
            return
        place = node(config.judge)
        limits = {f"the context of {place.model!r}": study.models[place.model].context}
        if place.method != PROMPTED:
            limits["data.max_length"] = study.recipe.data.max_length
        limit, name = min((number, name) for name, number in limits.items() if number is not None)
        speakers = 2 if config.protocol == "debate" else 1
        spoken = speakers * config.turns * config.max_new_tokens
        if spoken + LEAST_TOKENS > limit:
            raise W2SError(
                f"{where}: a transcript may have {spoken} tokens ({speakers} × {config.turns} × max_new_tokens "
                f"{config.max_new_tokens}), which leaves the judge no room for question and answer: {name} is {limit}; "
                "lower max_new_tokens or turns, or raise what limits it"
            )
