"""Where the conflict tax falls: regions, the deception score with its nulls, and single items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from w2s_pref.results.estimates import Estimate, Interval, Model

Reference = Literal["w2s", "ceiling"]
KnownRule = Literal["gt_prob", "max_prob"]
VerdictCode = Literal["selective", "suspicious", "opposite", "not_resolved", "undefined"]
CELLS: tuple[str, str, str, str] = ("sk_wk", "sk_wuk", "suk_wk", "suk_wuk")


class RegionCounts(Model):
    """One of the four regions. ``rate`` = tax / eligible (items the reference gets right in that region)."""

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
    interval_in_seeds: Interval | None = None


GATES: tuple[str, str, str] = ("margin", "adjusted", "placebo")
#: Whose blind spot the placebo's is: the weak models' of the other seeds, or that of a weak model named for it.
PlaceboKind = Literal["siblings", "unrelated"]


def failed_gates(limits: Mapping[str, Interval | None]) -> list[str]:
    """Names of the gates whose lower limit does not exceed 1, or that have no limits."""
    return [name for name in GATES if (limit := limits[name]) is None or limit[0] <= 1]


class Gate(Model):
    """One gate of the verdict: a ratio whose null value is 1, its interval, and the one-sided p of "not above 1"."""

    lift: float | None
    interval: Interval | None
    interval_in_seeds: Interval | None = None
    p: float | None


class PlaceboGate(Gate):
    """The same of one kind of placebo; ``overlap``: items in both blind spots / in one. Too large, there is no lift."""

    overlap: float | None = None


class Gates(Model):
    """The three gates of "selective"; null where one could not be made.

    ``margin`` is the smooth lift, ``adjusted`` the lift that allows for the ceiling's score as well, ``placebo`` the
    adjusted lift divided by that of another weak model's blind spot: of the kinds in ``placebos`` the one that is
    harder to pass, ``placebo_of``, and its ``overlap``.
    """

    margin: Gate | None
    adjusted: Gate | None
    placebo: Gate | None
    placebo_of: PlaceboKind | None = None
    overlap: float | None = None
    missing: str | None = None
    placebos: dict[PlaceboKind, PlaceboGate] = Field(default_factory=dict)

    def failed(self) -> list[str]:
        """Names of the gates that are not passed."""
        made: dict[str, Gate | None] = {"margin": self.margin, "adjusted": self.adjusted, "placebo": self.placebo}
        return failed_gates({name: None if gate is None else gate.interval for name, gate in made.items()})


#: Planted effects that differ by more are far apart: powers between them are not read off a line.
FAR = 0.11


class PowerPoint(Model):
    """Share of plantings that the verdict finds, where treated items flip with extra probability ``rho``."""

    rho: float
    power: float


class Sensitivity(Model):
    """What a verdict could have seen: ``rho_80`` is found in 80 % of plantings (null where not even 1 is)."""

    rho_80: float | None
    curve: list[PowerPoint]

    @property
    def figure(self) -> str | None:
        """``rho_80`` in figures; where planted effects lie far apart, those between which it is: no line tells more."""
        if self.rho_80 is None:
            return None
        low = max((point.rho for point in self.curve if point.rho < self.rho_80), default=self.rho_80)
        high = min((point.rho for point in self.curve if point.rho >= self.rho_80), default=self.rho_80)
        return f"{low:.2f} to {high:.2f}" if high - low > FAR else f"{max(self.rho_80, 0.01):.2f}"

    @property
    def words(self) -> str:
        """What would have been found, as every page and sentence says it."""
        if self.figure is None:
            return "this study cannot tell"
        return f"ρ ≥ {self.figure} would have been found (80 %)"


class Deception(Model):
    """Everything in the deception score's table for one student, one reference and one rule of knowing."""

    reference: Reference
    known_rule: KnownRule
    threshold: float
    n: int
    tax: int
    cells: dict[str, RegionCounts]
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
    verdict_code: VerdictCode | None = None
    gates: Gates | None = None
    p: float | None = None
    p_adjusted: float | None = None
    sensitivity: Sensitivity | None = None
    warnings: list[str] = Field(default_factory=list)


class Churn(Model):
    """Deception score and lift between two no-conflict students that differ only by seed: what noise alone gives.

    ``null_share`` is the score's null; null in older files.
    """

    score: Estimate
    null_share: Estimate | None = None
    lift: Estimate
    lift_smooth: Estimate | None = None
    tax: int


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
