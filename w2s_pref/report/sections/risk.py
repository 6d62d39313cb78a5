"""The risk laboratory: what the risks are made of, blind-spot deception raw and calibrated, bounds, whose errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Column, Figure, Fold, Guide, Points, Section, Table, Value, Warnings
from w2s_pref.report.draw.format import count, number, p_value
from w2s_pref.report.draw.svg import band_swatch, line_swatch, series_key
from w2s_pref.report.sections.risk_panels import CALIBRATED, PARTS, RAW, bars, heat_map, longest, scatters
from w2s_pref.report.students import by_arm
from w2s_pref.report.verdicts import bound as bound_words
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Results
from w2s_pref.results.risk import SIGNALS, Bound, Owner, Predictor, Predictors, RankCorrelation, Risk, RiskNumbers

SIGNALS_GUIDE: Final = Guide(
    "Spearman's correlation with BSD over settings, seeds averaged, with a 95 % interval that resamples settings, and "
    "its two-sided p after Holm's correction over the signals. Verdicts come from p alone.",
    "No signal resolved, or one that is so raw and after calibration with the same sign.",
)


def _correlation(head: str, kind: str) -> tuple[Column[Predictor], Column[Predictor]]:
    read: Callable[[Predictor], RankCorrelation] = attrgetter(kind)
    return (
        Column(head, lambda entry: Estimate(estimate=read(entry).rho, interval=read(entry).interval), 2),
        Column("p", lambda entry: p_value(read(entry).p_holm)),
    )


CORRELATIONS: Final[tuple[Column[Predictor], ...]] = (
    Column("Signal", lambda entry: SIGNALS.get(entry.signal, entry.signal)),
    *_correlation("Raw", RAW),
    *_correlation("Calibrated", CALIBRATED),
    Column("Verdict", lambda entry: Value(entry.verdict), words=True),
)


def _correlations(found: Predictors) -> list[Block]:
    """Headline and what the number of settings supports, with the table behind a fold; the page only."""
    caption = f"Rank correlation of each signal with BSD over {len(found.settings)} settings."
    table = Table(caption, CORRELATIONS, [("", found.signals)], SIGNALS_GUIDE, stack=True)
    return [
        Points([found.headline, *found.sentences[:1]], where="page"),
        Fold("Every signal, and what so many settings can show", [table, Points(found.sentences)], where="page"),
    ]


BARS_GUIDE: Final = Guide(
    "Upper bar s: the student; lower bar w: the weak ceiling. A bar is the risk, bias² + variance with the true answer "
    "first; its variance is split into what a straight line on the other model explains and the rest. The line at its "
    "end is the 95 % interval of the whole.",
    "Upper bars shorter than lower ones, with little grey. Much blue: the student repeats the weak model item by item.",
)
SCATTER_GUIDE: Final = Guide(
    "A mark for each student and seed: shape tells the arm, colour the conflict. Both panels have the same axes; the "
    "right one is after temperature calibration of every model.",
    "All marks low. A trend on the left that is gone on the right was about logit scale, not about deception.",
)
NUMBERS_GUIDE: Final = Guide(
    "BSD: share of rows on which the student is wrong and sure while the weak model is unsure; BSD_cond: of the rows "
    "on which the weak model is unsure. Temperature above 1: the student was too sure of itself.",
    "BSD near 0 raw and calibrated. The two variances differ by the order of the answers alone: compare neither across "
    "studies that order pairs otherwise.",
)
BOUNDS_GUIDE: Final = Guide(
    "Slack: bound minus the student's risk. The first two bounds hold always; Charikar's R_w − M holds exactly where "
    "the residual E(s − w)(s − 1) is at most 0. Reverse KL: the same question in nats, with the strong ceiling as f*.",
    "A residual below 0 with its interval: the student's disagreement with the weak model goes towards the truth.",
)
OWNERS_GUIDE: Final = Guide(
    "The student's confident errors, by what the weak model says there: surely wrong as well (inherited), unsure "
    "(blind spot), surely right (strong only). Shares add up to 1.",
    "Few errors, most of them inherited. A large blind-spot share is what the supervisor cannot see.",
)
HEAT_GUIDE: Final = Guide(
    "Percent; BSD of all rows, BSD_cond of those on which the weak model is unsure. Across, how sure the student must "
    "be to count; up, how unsure the weak model. The tint is relative to the map's largest value.",
    "Small numbers that fall quickly to the right. A row that stays level up to .95 holds errors made with full "
    "confidence.",
)
OWNERS: Final[Sequence[tuple[Owner, str]]] = (
    ("inherited", "Inherited"), ("blind_spot", "Blind spot"), ("strong_only", "Strong only"),
)  # fmt: skip
BOUNDS: Final[Sequence[tuple[Bound, str]]] = (
    ("triangle", "2R_w + 2M"), ("minkowski", "(√R_w + √M)²"), ("charikar", "Charikar"),
)  # fmt: skip


def _calibrated(read: Callable[[RiskNumbers], Estimate]) -> Callable[[Risk], Value]:
    """A number after calibration, where there is one."""

    def cell(risk: Risk) -> Value:
        return Value(None if risk.calibrated is None else read(risk.calibrated), absent="one group only")

    return cell


def _owned(owner: Owner, risk: Risk) -> Value:
    entry = risk.raw.inheritance[owner]
    return Value(entry.share, [f"{count(entry.count)} row{'s' if entry.count != 1 else ''}"])


def _slack(bound: Bound, risk: Risk) -> Value:
    entry = risk.raw.bounds[bound]
    return Value(entry.slack, [bound_words(entry.slack)])


CONFLICT: Final[Column[Risk]] = Column("Conflict", lambda risk: risk.conflict)
NUMBERS: Final[tuple[Column[Risk], ...]] = (
    CONFLICT,
    Column("Var", lambda risk: risk.raw.var_strong, short="Var_s", bounds=False),
    Column("Var, random order", lambda risk: risk.raw.random_var_strong, where="page"),
    Column("BSD", lambda risk: risk.raw.bsd, axis="bsd", neutral=0.0),
    Column("BSD_cond", lambda risk: risk.raw.bsd_cond, bounds=False),
    Column("BSD, soft", lambda risk: risk.raw.bsd_soft, where="page"),
    Column("Residual", lambda risk: risk.raw.residual, 4, bounds=False, where="terminal"),
    Column("Var, calibrated", _calibrated(lambda after: after.var_strong), where="page"),
    Column("BSD, calibrated", _calibrated(lambda after: after.bsd), axis="bsd", neutral=0.0),
    Column("Temperature", lambda risk: number(risk.temperature_strong, 2), where="page"),
)
INHERITANCE: Final[tuple[Column[Risk], ...]] = (
    CONFLICT,
    Column("Confident errors", lambda risk: Value(count(risk.raw.errors), tone="number")),
    *(Column(title, partial(_owned, owner)) for owner, title in OWNERS),
)
SLACKS: Final[tuple[Column[Risk], ...]] = (
    CONFLICT,
    Column("R_s", lambda risk: risk.raw.risk_strong),
    Column("R_w", lambda risk: risk.raw.risk_weak),
    Column("Misfit M", lambda risk: risk.raw.misfit),
    Column("Residual", lambda risk: risk.raw.residual, 4, axis="residual", neutral=0.0),
    *(Column(f"Slack, {title}", partial(_slack, bound)) for bound, title in BOUNDS),
    Column("Slack, reverse KL", lambda risk: risk.reverse_kl.get("slack")),
)


def section(results: Results) -> Section | None:
    """Everything about risk; none for results that were written before there was any."""
    risks = results.risk
    if not risks:
        return None
    calibrated = any(risk.calibrated is not None for risk in risks)
    after = Fold("The same after calibration", [_components(risks, CALIBRATED)], where="page")
    decided = [f"{_name(risk)}: {' '.join((risk.verdict, *risk.sentences))}" for risk in risks]
    warned = [f"{_name(risk)}: {text}" for risk in risks for text in risk.warnings]
    numbers, owners, slacks = _tables(risks)
    blocks: list[Block] = [
        _components(risks, RAW),
        *([after] if calibrated else []),
        Figure(
            "Variance of the student against blind-spot deception (BSD).",
            scatters(risks, results.predictors),
            SCATTER_GUIDE,
            key=series_key((risk.arm for risk in risks), (risk.conflict for risk in risks)),
        ),
        *([] if results.predictors is None else _correlations(results.predictors)),
        numbers,
        *_heat(risks),
        owners,
        slacks,
        Fold("What is decided about each student", [Points(decided)], where="page"),
        *([Warnings(warned, "Warnings on risk", where="page")] if warned else []),
    ]
    return Section("risk", "Risk and blind-spot deception", blocks, "Risk")


def _tables(risks: Sequence[Risk]) -> tuple[Table[Risk], Table[Risk], Table[Risk]]:
    """Numbers, whose errors they are, bounds: a row for every student."""
    arms, t_strong, t_weak = by_arm(risks), risks[0].t_strong, risks[0].t_weak
    numbers = Table(
        f"The student's variance and blind-spot deception at t_s = {t_strong:g} and t_w = {t_weak:g}, "
        "before and after calibration.",
        NUMBERS,
        arms,
        NUMBERS_GUIDE,
        stack=True,
        title=f"Blind-spot deception at t_s {t_strong:g}, t_w {t_weak:g}, and risk",
    )
    whose = "Inheritance: whose errors the student's confident errors are."
    bounds = "Bounds on the student's risk R_s from the weak risk R_w and the misfit M."
    return (
        numbers,
        Table(whose, INHERITANCE, arms, OWNERS_GUIDE, stack=True, where="page"),
        Table(bounds, SLACKS, arms, BOUNDS_GUIDE, stack=True, where="page"),
    )


def _name(risk: Risk) -> str:
    return f"{risk.arm}, {risk.conflict}"


def _components(risks: Sequence[Risk], kind: str) -> Figure:
    most = longest(risks)
    panels = [bars(arm, own, kind, most) for arm, own in by_arm(risks)]
    key: list[tuple[Markup, str]] = [(band_swatch(class_), words) for _, class_, words in PARTS]
    key.append((line_swatch("mean"), "95 % interval"))
    return Figure(f"What the risks are made of, {kind}.", panels, BARS_GUIDE, key=key)


def _heat(risks: Sequence[Risk]) -> list[Block]:
    """The student with the largest BSD in full, the others behind a fold."""
    drawn = [risk for risk in risks if risk.grid]
    if not drawn:
        return []
    worst = max(drawn, key=lambda risk: risk.raw.bsd.estimate or 0.0)
    both = [heat_map(worst, "bsd", "BSD"), heat_map(worst, "bsd_cond", "BSD_cond")]
    caption = f"Deception over both thresholds: {_name(worst)}, the student with the largest BSD."
    blocks: list[Block] = [Figure(caption, both, HEAT_GUIDE)]
    others = [heat_map(risk, "bsd", "BSD") for risk in drawn if risk is not worst]
    if others:
        fold = Figure("BSD over both thresholds, the other students.", others, HEAT_GUIDE)
        blocks.append(Fold(f"Threshold maps of {len(others)} further students", [fold]))
    return blocks
