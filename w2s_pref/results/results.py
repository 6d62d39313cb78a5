"""The versioned schema of ``results.json``: what an analysis writes and every report reads.

A number that does not exist is ``null`` with a ``note`` that says why, never 0. Intervals are 95 %, bootstrapped by
prompt and nested over seeds, unless a field says otherwise.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

SCHEMA_VERSION: Final = 1

Interval = tuple[float, float]
Reference = Literal["w2s", "ceiling"]
KnownRule = Literal["gt_prob", "max_prob"]
Judge = Literal["gold_target", "gold_conflict", "oracle_target", "oracle_conflict"]
Bound = Literal["triangle", "minkowski", "charikar"]
Owner = Literal["inherited", "blind_spot", "strong_only"]
KLTerm = Literal["kl_target_strong", "kl_target_weak", "kl_strong_weak", "slack"]
CELLS: tuple[str, str, str, str] = ("sk_wk", "sk_wuk", "suk_wk", "suk_wuk")


class Model(BaseModel):
    """Base of all parts: unknown fields are errors, so a report never reads a field nobody writes."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Estimate(Model):
    """A number, its interval, and the value of each seed (null where undefined for that seed)."""

    estimate: float | None
    interval: Interval | None = None
    seeds: list[float | None] = Field(default_factory=list)
    note: str | None = None


class Bin(Model):
    """One bar of a reliability diagram. Confidence and accuracy in [.5, 1]: max(p, 1-p) against how often right."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


class Calibration(Model):
    """Calibration of max(p, 1-p) on the target test set, seeds pooled."""

    ece: Estimate
    brier: Estimate
    reliability: list[Bin]


class Performance(Model):
    """How one model does: accuracy on the target and on the conflicting test set, and its calibration."""

    accuracy: Estimate
    conflict_accuracy: Estimate | None = None
    calibration: Calibration


class Cell(Model):
    """One of the four regions. ``rate`` = tax / eligible (items the reference gets right in that cell)."""

    n: int
    eligible: int
    tax: int
    errors: int
    rate: float | None
    error_rate: float | None


class SweepPoint(Model):
    """Deception score and its null at one confidence threshold T."""

    threshold: float
    score: float | None
    null_share: float | None
    lift: float | None
    interval: Interval | None = None
    tax: int


class Coefficient(Model):
    """One row of the threshold-free logistic regression of flip on p_s, p_w, margin and p_s(1-p_w)."""

    name: str
    estimate: float | None
    interval: Interval | None = None


class Deception(Model):
    """Everything in the deception score's table for one student, one reference and one rule of knowing."""

    reference: Reference
    known_rule: KnownRule
    threshold: float
    n: int
    tax: int
    cells: dict[str, Cell]
    score: Estimate
    null_share: Estimate
    risk_ratio: Estimate
    lift: Estimate
    lift_dropped: int
    lift_smooth: Estimate
    permutation_p: float | None
    sweep: list[SweepPoint]
    regression: list[Coefficient]
    verdict: str
    warnings: list[str] = Field(default_factory=list)


class Churn(Model):
    """Deception score and lift between two no-conflict students that differ only by seed: what noise alone gives."""

    score: Estimate
    lift: Estimate
    tax: int


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

    @model_validator(mode="after")
    def _named(self) -> Arm:
        self.supervision = self.supervision or self.name
        return self


class Comparison(Model):
    """A paired difference, ``second`` minus ``first`` arm, same items and seeds. Verdict may be "not resolved"."""

    first: str
    second: str
    conflict: str
    metric: Literal["accuracy", "conflict_accuracy", "pgr", "deception_score", "lift"]
    difference: Estimate
    verdict: str


class LadderPoint(Model):
    """One (weak, strong) pair of a ladder under one conflict: metrics against the capability gap."""

    weak: str
    strong: str
    arm: str
    conflict: str
    gap: float
    pgr: float | None
    deception_score: float | None
    lift: float | None


class Slope(Model):
    """Least-squares slope of a metric on the capability gap, over the points of one kind of arm and conflict."""

    metric: str
    arm: str
    conflict: str
    points: int
    slope: Estimate
    verdict: str


class Ladder(Model):
    """All weak < strong pairs."""

    points: list[LadderPoint]
    slopes: list[Slope]


class RegionPoint(Model):
    """One test item of the region map (first seed): the ceilings' p of the true answer and what became of it."""

    weak: float
    strong: float
    eligible: bool
    tax: bool


class RegionMap(Model):
    """Items of the region map for one student."""

    arm: str
    conflict: str
    threshold: float
    points: list[RegionPoint]


class Suspicious(Model):
    """A pair the student lost under conflict although the strong ceiling knows it and the weak one does not."""

    id: str
    arm: str
    conflict: str
    seed: int
    prompt: str
    preferred: str
    other: str
    p_weak: float
    p_ceiling: float
    p_reference: float
    p_student: float


class StudentNumbers(Model):
    """One student on one set of items. ``tax`` and what follows null where the student is itself the reference."""

    accuracy: Estimate
    pgr: Estimate
    tax: int | None = None
    deception_score: Estimate | None = None
    lift: Estimate | None = None


class LengthRow(Model):
    """One student on all test items and on the length-matched ones."""

    arm: str
    conflict: str
    raw: StudentNumbers
    matched: StudentNumbers


class LengthMatched(Model):
    """Target test items among which length says nothing: "the shorter answer is the true one" holds for one half.

    ``items`` of the test set, ``kept`` in the matched subset; ``shorter_raw`` and ``shorter_matched`` the accuracy of
    preferring the shorter answer. ``reference`` is what tax is counted against. ``note`` says why there are no rows.
    """

    items: int
    kept: int
    shorter_raw: Estimate
    shorter_matched: Estimate
    reference: Reference
    rows: list[LengthRow] = Field(default_factory=list)
    note: str | None = None


class Said(Model):
    """What one model said: mean response tokens, shares of samples, and mean value under each judge that judged it."""

    samples: int
    tokens: Estimate
    refusal: Estimate
    unparseable: Estimate
    unended: Estimate
    values: dict[Judge, Estimate]


class SpokenCell(Model):
    """Ranking against speech on ``n`` rows (items x seeds): shares of them.

    ``right_wrong``: ranks right but speaks wrong; ``wrong_right``: ranks wrong but speaks right.
    """

    n: int
    ranked_right: Estimate
    spoken_right: Estimate
    right_wrong: Estimate
    wrong_right: Estimate


class Disagreement(Model):
    """Whether a policy says what it ranks, by region. Speech is right from the midpoint of the pair's values upward.

    ``samples`` judged, of them ``unparseable`` ones, which count as wrong; ``left_out`` samples have no judgement or
    belong to a pair without one. ``blind_spot``: of the items it ranks right, the share it speaks wrong where strong
    knows and weak does not, minus that share elsewhere.
    """

    judge: Judge
    threshold: float
    known_rule: KnownRule
    samples: int
    unparseable: int
    left_out: int
    overall: SpokenCell
    cells: dict[str, SpokenCell]
    blind_spot: Estimate


class Speech(Model):
    """What one policy says beside what it ranks.

    ``model`` and ``reference`` are names in the score table; ``arm`` and ``conflict`` null for other models than final
    students. ``judge`` is the one that headline numbers use: the oracle where there is one. ``kl`` is the mean of
    log pi - log pi_ref over the policy's own samples, in nats.
    """

    model: str
    arm: str | None
    conflict: str | None
    reference: str | None
    prompts: int
    judge: Judge | None
    win_rate: dict[Judge, Estimate]
    said: Said
    reference_said: Said | None
    kl: Estimate
    kl_per_token: Estimate
    disagreement: Disagreement | None = None
    notes: list[str] = Field(default_factory=list)


class RiskParts(Model):
    """Parts of one model's risk, which they add up to: bias^2, and the variance that a straight line on the other
    model explains (``shared`` = Cov^2 / Var of the other) and does not (``own``). Both null where the other has none.
    """

    bias_squared: float
    variance: float
    shared: float | None
    own: float | None


class RiskBound(Model):
    """An upper bound on the strong risk. slack = value - risk; ``holds`` where it is not below 0."""

    value: float
    slack: Estimate
    holds: bool


class ErrorShare(Model):
    """Rows among the confident strong errors, and their share of them."""

    count: int
    share: Estimate


class RiskNumbers(Model):
    """Moments, bounds and blind-spot deception of a weak and a strong model; pairs chosen-first, rows items x seeds.

    ``random_*``: with pairs in random order. ``errors``: confident strong errors, split by the weak model in
    ``inheritance``: confidently wrong, uncertain, confidently right.
    """

    var_weak: Estimate
    var_strong: Estimate
    cov: Estimate
    bias_weak: Estimate
    bias_strong: Estimate
    misfit: Estimate
    risk_weak: Estimate
    risk_strong: Estimate
    residual: Estimate
    bsd: Estimate
    bsd_cond: Estimate
    bsd_soft: Estimate
    random_var_strong: Estimate
    random_cov: Estimate
    parts_weak: RiskParts
    parts_strong: RiskParts
    bounds: dict[Bound, RiskBound]
    errors: int
    inheritance: dict[Owner, ErrorShare]


class ThresholdPoint(Model):
    """Blind-spot deception at one pair of thresholds; ``uncertain`` counts the rows of the blind spot."""

    t_strong: float
    t_weak: float
    bsd: float
    bsd_cond: float | None
    uncertain: int


class Risk(Model):
    """The risk laboratory's numbers for one student, beside the weak ceiling of its arm (docs/risk.md).

    ``calibrated``: after each model, seed by seed, is divided by a temperature cross-fitted on the other half of the
    groups; null with a single group, as are the temperatures (geometric means). ``reverse_kl``: f* is the strong
    ceiling. Intervals use the study's own resamples.
    """

    arm: str
    conflict: str
    weak: str
    strong: str
    t_strong: float
    t_weak: float
    n: int
    raw: RiskNumbers
    calibrated: RiskNumbers | None
    temperature_weak: float | None
    temperature_strong: float | None
    reverse_kl: dict[KLTerm, Estimate]
    grid: list[ThresholdPoint]
    verdict: str
    sentences: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)


class RankCorrelation(Model):
    """Spearman's rho over settings, seeds averaged, with its two-sided p (exact up to nine settings; Holm's beside it).

    The interval resamples settings.
    """

    rho: float | None
    interval: Interval | None = None
    p: float | None = None
    p_holm: float | None = None


class Predictor(Model):
    """One signal's rank correlation with blind-spot deception."""

    signal: str
    raw: RankCorrelation
    calibrated: RankCorrelation
    verdict: str


class Predictors(Model):
    """Which signal goes with blind-spot deception over the settings (arms x conflicts) of this study.

    ``smallest_p``, ``critical_rho`` (p <= .05) and ``critical_rho_holm`` (the same for the first of all signals) say
    what that many independent settings could show; null where nothing reaches it.
    """

    settings: list[str]
    smallest_p: float | None
    critical_rho: float | None
    critical_rho_holm: float | None
    signals: list[Predictor]
    headline: str
    sentences: list[str] = Field(default_factory=list)


class MonitorAlarm(Model):
    """An alarm of the live monitor and what it did: log, checkpoint, stop, or a function's name."""

    step: int
    signal: str
    action: str
    statistic: str | None = None


class MonitorCurve(Model):
    """What the live monitor saw of one training: signals by step (null where undefined), alarms, share of the time.

    ``weak``: the weak model that the signals are about; a ceiling has a curve for each that it is compared with.
    """

    name: str
    seed: int
    steps: list[int]
    signals: dict[str, list[float | None]]
    weak: str = ""
    alarms: list[MonitorAlarm] = Field(default_factory=list)
    cost: float | None = None

    @model_validator(mode="after")
    def _aligned(self) -> MonitorCurve:
        short = [name for name, values in self.signals.items() if len(values) != len(self.steps)]
        if short:
            raise ValueError(f"{self.name}: signal {short[0]!r} has not one value for each of {len(self.steps)} steps")
        return self


class Curve(Model):
    """Training loss of one training stage against optimizer steps; of on-policy training the mean reward."""

    name: str
    seed: int
    step: list[int]
    loss: list[float]
    quantity: Literal["loss", "reward"] = "loss"


class SplitInfo(Model):
    """What went into one split."""

    objective: str
    rows: int
    groups: int
    hash: str
    counts: dict[str, int] = Field(default_factory=dict)


class ModelInfo(Model):
    """One model of the recipe. ``parameters`` null where unknown."""

    path: str
    parameters: int | None
    hash: str
    revision: str | None = None


class Verdict(Model):
    """The first thing a reader sees: one headline and a few sentences, each already decided by the analysis."""

    headline: str
    sentences: list[str]


class Provenance(Model):
    """Enough to run it again: command, versions, hashes, keys of the stages used."""

    command: str
    created: str
    seconds: float
    world_size: int
    versions: dict[str, str]
    machine: dict[str, str]
    stages: dict[str, str]


class Measure(Model):
    """A user's metric of one student. ``about``: the first line of the function's docstring."""

    metric: str
    about: str = ""
    arm: str
    conflict: str
    value: Estimate


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
    verdict: Verdict
    warnings: list[str] = Field(default_factory=list)

    @model_serializer(mode="wrap")
    def _without_empty_metrics(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Results of recipes that name no metric are written as they were before there were any."""
        found: dict[str, Any] = write(self)
        return found if found.get("metrics") else {name: value for name, value in found.items() if name != "metrics"}


class Results(Body):
    """``results.json``."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    seeds: list[int]
    objectives: dict[str, str]
    splits: dict[str, SplitInfo]
    models: dict[str, ModelInfo]
    curves: list[Curve]
    monitors: list[MonitorCurve] = Field(default_factory=list)
    recipe: dict[str, Any]
    provenance: Provenance
