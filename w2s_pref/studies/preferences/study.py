"""The study: every named thing of a recipe's graph, and the small steps that scores, labels and rewards are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from w2s_pref.analysis.preferences.metrics import METRICS, functions
from w2s_pref.analysis.preferences.parts import described
from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Stage
from w2s_pref.labels.make import LabelConfig
from w2s_pref.labels.supervisors import COMBINATIONS
from w2s_pref.models.info import ModelFacts
from w2s_pref.stages.answers import JudgeStage
from w2s_pref.stages.arguments import Arguments
from w2s_pref.stages.decoding import DecodedPolicy, EmulatedLogProbs
from w2s_pref.stages.given import GivenScores, check_covered, covers, read_labels
from w2s_pref.stages.labels import LabelStage, Scored
from w2s_pref.stages.model_stage import StartStage, check_language_model
from w2s_pref.stages.policies import LogProbStage, PolicyScoreStage, PolicyStage
from w2s_pref.stages.pooled import PooledScores
from w2s_pref.stages.refined import RefinedScores
from w2s_pref.stages.rewards import ScoreStage, TrainStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.preferences.analyze import AnalyzeStage
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.recipe import check_different
from w2s_pref.training.methods import Method, Node

#: Splits that every model is scored on.
TESTS = ("test", "conflict_test")


@dataclass
class Study:
    """The graph: models by (name, seed), all scores and labels, judged answers, and the analysis that reads them.

    ``nodes`` says how each name was trained; ``references`` names the reference of each policy; ``given`` holds labels
    that stand in the weak model's place, by the chain's name for them (None: a function gives them). ``pools`` says
    which models a name stands for that several supervisors share. ``decoded`` are students that train nothing,
    ``best_of`` names what a search is compared with, ``rounds`` the models of an arm whose student learns in rounds,
    each with its number. ``judges`` score pairs after arguments about them; ``judge_scores`` says under which names
    their scores and nulls stand, ``arguments`` what they read of the test pairs.
    """

    recipe: Recipe
    base: Path
    models: dict[str, ModelFacts]
    rows: dict[str, Rows]
    nodes: dict[str, Node] = field(default_factory=dict)
    trained: dict[tuple[str, int], TrainStage | PolicyStage] = field(default_factory=dict)
    scores: dict[tuple[str, int, str], Scored] = field(default_factory=dict)
    labels: dict[tuple[str, int], LabelStage] = field(default_factory=dict)
    given: dict[str, pd.Series[float] | None] = field(default_factory=dict)
    pools: dict[str, tuple[Node, tuple[str, ...]]] = field(default_factory=dict)
    decoded: dict[tuple[str, int], DecodedPolicy] = field(default_factory=dict)
    judges: dict[tuple[str, int], Callable[[Rows], Scored]] = field(default_factory=dict)
    judge_scores: dict[str, dict[str, str]] = field(default_factory=dict)
    arguments: dict[str, Arguments] = field(default_factory=dict)
    judged: dict[tuple[str, int], JudgeStage] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    best_of: dict[str, str] = field(default_factory=dict)
    rounds: dict[str, dict[str, int]] = field(default_factory=dict)
    anchor: Scored | None = None
    oracle: str | None = None

    @property
    def tokens(self) -> dict[str, Any]:
        """Token limits of every stage."""
        return {"max_length": self.recipe.data.max_length, "overlong": self.recipe.data.overlong}

    @property
    def text_stays_text(self) -> bool:
        """Whether data never become a control token, wherever this study tokenises."""
        return self.recipe.data.text_stays_text

    @property
    def chains(self) -> dict[str, list[Node]]:
        """Arms as nodes."""
        return self.recipe.chains()

    @property
    def helpful_first(self) -> bool:
        """Whether the target is helpfulness: then an oracle's helpful value judges it, else its harmless value."""
        return self.recipe.data.target_objective == "helpful"

    def method(self, name: str) -> Method:
        """How the model called ``name`` was trained."""
        return self.recipe.method(self.nodes[name])

    def add_trained(self, name: str, node: Node, stage: TrainStage | PolicyStage, seed: int) -> None:
        """Enter a trained model, with its scores on the test sets."""
        self.nodes[name] = node
        self.trained[name, seed] = stage
        self._score_tests(name, seed)

    def add_decoded(self, name: str, node: Node, stage: DecodedPolicy, seed: int) -> None:
        """Enter a model that a weak policy guides, with its scores on the test sets."""
        self.nodes[name] = node
        self.decoded[name, seed] = stage
        self._score_tests(name, seed)

    def _score_tests(self, name: str, seed: int, known: Callable[[str], bool] = lambda split: True) -> None:
        """Enter the scores on the test sets that there are, of those that are ``known``."""
        for split in TESTS:
            if split in self.rows and known(split):
                self.scores[name, seed, split] = self.scored(name, self.rows[split], seed)

    def scored(self, name: str, rows: Rows, seed: int) -> Scored:
        """The model's raw scores on ``rows``, by the form its method asks for; of given labels their log-odds."""
        source = name.removeprefix("ceiling/")
        if source in self.given:
            check_covered(source, self.given[source], rows)
            return GivenScores(f"{source} on {rows.name}", rows, source, self.base, self.given[source])
        if (source, seed) in self.judges:
            return self.judges[source, seed](rows)
        if name in self.pools:
            return self._pooled(name, rows, seed)
        if (name, seed) in self.decoded:
            return self._guided(name, rows, seed)
        stage = self.trained[name, seed]
        title = f"{name} on {rows.name} · seed {seed}"
        if isinstance(stage, TrainStage):
            return ScoreStage(title, rows, stage, self.tokens)
        found = self.method(name)
        reference = self.logprobs(stage.reference, rows, f"reference of {name}", seed)
        needs = found.score == "implicit_reward"
        return PolicyScoreStage(
            title, rows, self.logprobs(stage, rows, name, seed), reference if needs else None, found.score, found.beta
        )

    def _guided(self, name: str, rows: Rows, seed: int) -> PolicyScoreStage:
        """What ranks where nothing is trained: the guide's implicit reward, or the likelihood of the mixture."""
        stage, found, title = self.decoded[name, seed], self.method(name), f"{name} on {rows.name} · seed {seed}"
        tuned = self.logprobs(stage.tuned, rows, f"guide of {name}", seed)
        untuned = self.logprobs(stage.tuned.reference, rows, f"reference of the guide of {name}", seed)
        if found.score == "implicit_reward":
            return PolicyScoreStage(title, rows, tuned, untuned, found.score, found.beta)
        strong = self.logprobs(stage.strong, rows, f"reference of {name}", seed)
        mixed = EmulatedLogProbs(
            f"{name} log-probs on {rows.name} · seed {seed}", rows, strong, tuned, untuned, found.beta
        )
        return PolicyScoreStage(title, rows, mixed, None, found.score, found.beta)

    def _pooled(self, name: str, rows: Rows, seed: int) -> PooledScores:
        """What the models behind a name say together; they are calibrated one by one before."""
        place, members = self.pools[name]
        config = LabelConfig(combine=place.combine, calibrate=place.calibrate)
        held: tuple[Scored, ...] = ()
        if config.needs_calibration(self.base, pooled=True):
            self.check_calibration()
            held = tuple(self.scored(each, self.rows["calibration"], seed) for each in members)
        title = f"{name} on {rows.name} · seed {seed}"
        scores = tuple(self.scored(each, rows, seed) for each in members)
        check_different([str(each) for each in place.members], [each.key for each in scores], str(place), "arms")
        code = COMBINATIONS.code(place.combine, self.base)
        return PooledScores(title, rows, scores, place.combine, code, held, place.calibrate)

    def check_calibration(
        self, why: str = "labels.calibrate needs held-out ground truth, as a combination that goes by accuracy does"
    ) -> None:
        """Refuse a study without the pairs that labels are calibrated on.

        Raises:
            W2SError: the calibration split has no rows.
        """
        if "calibration" not in self.rows:
            raise W2SError(f"{why}; give data.splits.calibration a number of rows")

    def add_pool(self, name: str, place: Node, members: tuple[str, ...], seed: int) -> None:
        """Enter several supervisors under one name, with their scores on all tests that each of them has."""
        self.pools[name] = (place, members)
        self._score_tests(name, seed, lambda split: all((each, seed, split) in self.scores for each in members))

    def add_given(self, source: str, seed: int) -> None:
        """Enter given labels as if a model had made them: the same under every seed, on all tests they cover."""
        if source not in self.given:
            self.given[source] = read_labels(source, self.base)
        labels = self.given[source]
        self._score_tests(f"ceiling/{source}", seed, lambda split: split == "test" or covers(labels, self.rows[split]))

    def logprobs(
        self, policy: StartStage | PolicyStage, rows: Rows, name: str, seed: int, each: bool = False
    ) -> LogProbStage:
        """Log-probabilities of both answers: one stage for every arm and seed with the same policy and data.

        Args:
            each: of every token, too.
        """
        what = "token log-probs" if each else "log-probs"
        return LogProbStage(f"{name} {what} on {rows.name} · seed {seed}", policy, rows, self.tokens, each)

    def label(
        self, name: str, supervisor: str, rows: Rows, seed: int, config: LabelConfig, second: LabelStage | None = None
    ) -> LabelStage:
        """Labels by the supervisor (a name of ``trained``) on ``rows``; with two stages those that it is sure of.

        Args:
            second: labels of the pairs that these leave out.
        """
        calibration = None
        if config.two_stage:
            config = config.model_copy(update={"filter": "high_confidence"})
        if config.calibrate and supervisor not in self.pools:
            self.check_calibration()
            calibration = self.scored(supervisor, self.rows["calibration"], seed)
        scores = self.scored(supervisor, rows, seed)
        if config.refine is not None:
            facts = self.models[config.refine.by]
            check_language_model(facts)
            start = StartStage(f"{config.refine.by} as it is", facts, seed)
            about = f"{supervisor} refined by {config.refine.by} on {rows.name} · seed {seed}"
            scores = RefinedScores(about, rows, scores, start, config.refine)
        title = f"{name} by {supervisor} · seed {seed}"
        stage = LabelStage(title, scores, config, calibration, config.code(self.base), second)
        self.labels[name, seed] = stage
        return stage

    @property
    def targets(self) -> list[Stage]:
        """What is to be built, with everything it needs."""
        return [self.analysis]

    @property
    def analysis(self) -> AnalyzeStage:
        """The last stage."""
        recipe, other = self.recipe, self.rows.get("conflict_test")
        design = {
            "arms": {arm: [str(node) for node in chain] for arm, chain in self.chains.items()},
            "methods": {arm: chain[-1].method for arm, chain in self.chains.items()},
            "supervision": {arm: recipe.supervision(arm) for arm in self.chains},
            "conflicts": recipe.conflict.names,
            "seeds": recipe.seeds,
            "target": self.rows["test"].frame["objective"].iloc[0],
            "conflict": other.frame["objective"].iloc[0] if other is not None else None,
            "ladder": bool(recipe.ladder),
            "references": self.references,
            "oracle": self.oracle,
            "temperature": recipe.speech.temperature if self.judged else 1.0,
            "helpful_first": self.helpful_first,
            **recipe.analysis.model_dump(exclude={"metrics", "placebo", "by"}),
        }
        ends = {arm: list(recipe.ends(arm)) for arm in self.chains}
        if _groups(ends.values()) != _groups([str(chain[0]), str(chain[-1])] for chain in self.chains.values()):
            design["ends"] = ends
        if self.judge_scores:
            design["judges"] = self.judge_scores
        if names := [f"ceiling/{name}" for name in recipe.analysis.placebos()]:
            design["placebo"] = names if len(names) > 1 else names[0]
        if recipe.analysis.by is not None:
            frames = {name: rows.frame for name, rows in self.rows.items()}
            design["by"] = described(frames, recipe.analysis.by)
        if self.best_of:
            design["best_of"] = self.best_of
        if self.rounds:
            design["rounds"] = self.rounds
        if recipe.analysis.metrics:
            functions(recipe.analysis.metrics, self.base)  # a plan says what is wrong with them
            design["metrics"] = {name: METRICS.code(name, self.base) for name in recipe.analysis.metrics}
        return AnalyzeStage(
            "analysis", self.scores, self.labels, self.rows["test"], other, design, dict(self.judged), self.anchor,
            dict(self.arguments),
        )  # fmt: skip


def _groups(ends: Iterable[list[str]]) -> list[int]:
    """For each arm the first one with the same ends: which of them are compared."""
    found = list(ends)
    return [found.index(each) for each in found]
