"""The versioned schema of a preference study's ``results.json``: what its analysis writes and every report reads."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from w2s_pref.results.deception import Churn, Deception, Gates, RegionMap, Suspicious, VerdictCode
from w2s_pref.results.estimates import Estimate, Model, Performance
from w2s_pref.results.parts import LearnedWeights, LengthMatched, SupervisorSpread, TestPart
from w2s_pref.results.risk import Predictors, Risk
from w2s_pref.results.speech import Speech
from w2s_pref.results.trainings import ArmCost, Curve, ModelInfo, MonitorCurve, Provenance, SplitInfo

SCHEMA_VERSION: Final = 2
#: What arms are compared by; in files before schema 2 lifts were compared in their binned form, ``lift``.
Metric = Literal["accuracy", "conflict_accuracy", "pgr", "deception_score", "lift_smooth", "lift"]


class Agreement(Model):
    """Share of items on which student and supervisor choose the same answer."""

    overall: Estimate
    supervisor_right: Estimate
    supervisor_wrong: Estimate


class Inheritance(Model):
    """Shares: supervisor errors the student repeats, supervisor errors it corrects, new errors where it was right."""

    inherited: Estimate
    corrected: Estimate
    new_errors: Estimate


class Setting(Model):
    """One student: an arm under one conflict setting. ``model`` is its name in the score table."""

    conflict: str
    model: str
    performance: Performance
    pgr: Estimate
    pgr_raw: float | None
    agreement: Agreement
    inheritance: Inheritance
    deception: list[Deception] = Field(default_factory=list)


class Hop(Model):
    """One supervision step of a chain: the supervisor's labels on the training pairs, and the student's accuracy."""

    supervisor: str
    student: str
    label_accuracy: Estimate
    label_brier: Estimate
    kept_share: Estimate
    kept_accuracy: Estimate
    accuracy: Estimate | None = None


def members(node: str) -> list[str]:
    """The nodes in one place of a chain: of ``mean(a, b@dpo)`` both."""
    return node[node.index("(") + 1 : -1].split(", ") if node.endswith(")") else [node]


class Round(Model):
    """The strong policy after one round of learning from a weaker one and teaching it (round 0: before the first).

    ``model`` is its name in the score table, under which ``speech`` says what it writes; ``gain`` its accuracy minus
    that of round 0, paired.
    """

    model: str
    number: int
    accuracy: Estimate
    gain: Estimate | None = None


class Arm(Model):
    """One way of supervising: a chain of nodes (``model`` or ``model@method``), weakest first.

    ``method`` is what trained the final student; ``supervision`` the arm's name without it, equal for arms that differ
    by method alone. Results written before there were methods hold reward models.
    """

    name: str
    chain: list[str]
    hops: list[Hop]
    settings: list[Setting]
    churn: Churn | None = None
    method: str = "reward"
    supervision: str = ""
    rounds: list[Round] = Field(default_factory=list, description="only there where the student learns in rounds")

    @model_validator(mode="after")
    def _named(self) -> Arm:
        self.supervision = self.supervision or self.name
        return self

    @model_serializer(mode="wrap")
    def _without_rounds(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An arm whose student learns at once is written as before."""
        found: dict[str, Any] = write(self)
        return {name: value for name, value in found.items() if value or name != "rounds"}


class Comparison(Model):
    """A paired difference, ``second`` minus ``first`` arm, same items and seeds. Verdict may be "not resolved".

    ``p`` is one-sided, on the side of the difference; ``p_adjusted`` Holm's over all comparisons of the study, resolved
    at .025; ``smallest_found`` the smallest true difference that is found, corrected like this, in 80 % of such
    studies, null where not even the largest would be.
    """

    first: str
    second: str
    conflict: str
    metric: Metric
    difference: Estimate
    smallest_found: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    verdict: str


class LadderPoint(Model):
    """One (weak, strong) pair of a ladder under one conflict: metrics against the capability gap.

    ``null_share`` is the null of ``deception_score``; null in older files.
    """

    weak: str
    strong: str
    arm: str
    conflict: str
    gap: float
    pgr: float | None
    deception_score: float | None
    null_share: float | None = None
    lift: float | None = None
    lift_smooth: float | None = None


class Slope(Model):
    """Least-squares slope of a metric on the capability gap, over the points of one kind of arm and conflict.

    ``arm`` is direct or bootstrapped, with ``@method`` where students of several methods climb the ladder. ``p`` is
    one-sided, ``p_adjusted`` Holm's over all slopes of the study.
    """

    metric: str
    arm: str
    conflict: str
    points: int
    slope: Estimate
    p: float | None = None
    p_adjusted: float | None = None
    verdict: str


class Ladder(Model):
    """All weak < strong pairs."""

    points: list[LadderPoint]
    slopes: list[Slope]


class Verdict(Model):
    """The first thing a reader sees: one headline and a few sentences, each already decided by the analysis."""

    headline: str
    sentences: list[str]


class Family(Model):
    """Verdicts that are corrected together by Holm's method at one-sided .025.

    ``members`` have a p; ``resolved`` of them stay so after the correction. ``moderated``: seed variances were shrunk
    over the family (four members or more).
    """

    name: str
    members: int
    resolved: int
    moderated: bool = False


class Control(Model):
    """A made-up student on the study's own test items, whose truth is known: what a detection looks like here.

    ``rho`` is the extra probability with which the planted deceiver fails in the blind spot. ``null_share`` is the null
    of ``score``; null in older files.
    """

    name: Literal["honest", "blind", "deceiver"]
    about: str
    rho: float | None = None
    tax: int
    score: Estimate
    null_share: Estimate | None = None
    lift_smooth: Estimate
    gates: Gates
    verdict_code: VerdictCode
    verdict: str


class Measure(Model):
    """A user's metric of one student. ``about``: the first line of the function's docstring."""

    metric: str
    about: str = ""
    arm: str
    conflict: str
    value: Estimate


class ArgumentEffect(Model):
    """What a judge of arguments makes of them, on the target test items; differences are paired.

    ``naive`` is the accuracy of the judge without transcripts, ``argued`` with them; ``gain`` their difference, and
    under the nulls ``shuffled_gain`` (transcripts of other pairs) and ``blank_gain`` (as many words without content).
    ``beyond_shuffled`` is argued minus shuffled. ``same_choice``: share of items on which the judge chooses the same
    answer with another pair's transcript as with the right one. ``about``: shares of the pairs whose arguments are
    ``empty``, the ``same`` for both sides or ``unended``; of a prompted judge ``unparseable`` (A and B have less than
    half of the probability) and ``same_when_swapped`` (the same choice where A and B change places);
    ``transcript_cut`` counts pairs.
    """

    supervisor: str
    judge: str
    protocol: str
    naive: Estimate
    argued: Estimate
    gain: Estimate
    shuffled_gain: Estimate | None = None
    blank_gain: Estimate | None = None
    beyond_shuffled: Estimate | None = None
    same_choice: Estimate | None = None
    about: dict[str, float] = Field(default_factory=dict)


class Body(Model):
    """The analysis proper: a pure function of score tables and of the design of the study."""

    ceilings: dict[str, Performance]
    base: Performance | None = None
    arms: list[Arm]
    comparisons: list[Comparison]
    ladder: Ladder | None = None
    region_maps: list[RegionMap]
    suspicious: list[Suspicious]
    length_matched: LengthMatched | None = None
    speech: list[Speech] = Field(default_factory=list)
    risk: list[Risk] = Field(default_factory=list)
    predictors: Predictors | None = None
    metrics: list[Measure] = Field(default_factory=list, description="only there where a recipe names metrics")
    supervisor_spread: list[SupervisorSpread] = Field(
        default_factory=list, description="only there where several supervisors are combined"
    )
    parts: list[TestPart] = Field(default_factory=list, description="only there where analysis.by names a column")
    argument_effects: list[ArgumentEffect] = Field(
        default_factory=list, description="only there where a recipe names supervisors"
    )
    controls: list[Control] = Field(default_factory=list)
    families: list[Family] = Field(default_factory=list)
    verdict: Verdict
    warnings: list[str] = Field(default_factory=list)

    @model_serializer(mode="wrap")
    def _without_empty_lists(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Results without metrics, several supervisors or judges, and those of which all is there, are as before."""
        found: dict[str, Any] = write(self)
        new = {"metrics", "supervisor_spread", "parts", "argument_effects", "costs", "supervisor_weights", "summarised"}
        return {name: value for name, value in found.items() if value or name not in new}


class Results(Body):
    """``results.json``."""

    schema_version: Literal[2] = SCHEMA_VERSION
    name: str
    seeds: list[int]
    objectives: dict[str, str]
    splits: dict[str, SplitInfo]
    models: dict[str, ModelInfo]
    curves: list[Curve]
    monitors: list[MonitorCurve] = Field(default_factory=list)
    costs: list[ArmCost] = Field(
        default_factory=list,
        description="only there where several arms name methods, judges, labels or lists of supervisors",
    )
    supervisor_weights: list[LearnedWeights] = Field(
        default_factory=list, description="only there where a method learns them (raven)"
    )
    summarised: list[str] = Field(default_factory=list, description="only there in studies of very many arms")
    recipe: dict[str, Any]
    provenance: Provenance

    def algorithm(self, method: str) -> str:
        """What trains a method's students: one of the recipe says by its ``algorithm``, else its name does."""
        own = (self.recipe.get("methods") or {}).get(method) or {}
        return str(own.get("algorithm") or method)

    def makes_policies(self, method: str) -> bool:
        """Whether a method's students are policies."""
        return self.algorithm(method) != "reward"
