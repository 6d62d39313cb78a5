"""The risk laboratory: what the risks are made of, blind-spot deception raw and calibrated, bounds, whose errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Cell, Figure, Fold, Guide, Points, Section, Table, TableGroup, Warnings
from w2s_pref.report.draw.format import count, number, plain
from w2s_pref.report.draw.key import colour, line_swatch, mark_swatch, shape, swatch
from w2s_pref.report.draw.plot import estimate_cell
from w2s_pref.report.draw.svg import el
from w2s_pref.report.sections.comparison import ends, spread
from w2s_pref.report.sections.predictors import correlations
from w2s_pref.report.sections.risk_panels import CALIBRATED, PARTS, RAW, bars, heat_map, longest, scatters
from w2s_pref.results.preferences import Results
from w2s_pref.results.risk import Bound, Owner, Risk

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


def section(results: Results) -> Section | None:
    """Everything about risk; none for results that were written before there was any."""
    risks = results.risk
    if not risks:
        return None
    blocks: list[Block] = [
        _components(risks, RAW),
        *([Fold("The same after calibration", [_components(risks, CALIBRATED)])] if _calibrated(risks) else []),
        Figure(
            "Variance of the student against blind-spot deception (BSD).",
            scatters(risks, results.predictors),
            SCATTER_GUIDE,
            key=_key(risks),
        ),
        *([] if results.predictors is None else correlations(results.predictors)),
        _numbers(risks),
        *_heat(risks),
        _inheritance(risks),
        _bounds(risks),
        Fold("What is decided about each student", [Points(_sentences(risks))]),
    ]
    warned = [f"{_name(risk)}: {plain(text)}" for risk in risks for text in risk.warnings]
    if warned:
        blocks.append(Warnings(warned, "Warnings on risk"))
    return Section("risk", "Risk and blind-spot deception", blocks, "Risk")


def _name(risk: Risk) -> str:
    return f"{plain(risk.arm)}, {plain(risk.conflict)}"


def _calibrated(risks: Sequence[Risk]) -> bool:
    return any(risk.calibrated is not None for risk in risks)


def _arms(risks: Sequence[Risk]) -> list[tuple[str, list[Risk]]]:
    names = dict.fromkeys(risk.arm for risk in risks)
    return [(name, [risk for risk in risks if risk.arm == name]) for name in names]


def _groups(risks: Sequence[Risk], row: Callable[[Risk], list[Cell]]) -> list[TableGroup]:
    return [TableGroup(plain(arm), [[plain(risk.conflict), *row(risk)] for risk in own]) for arm, own in _arms(risks)]


def _components(risks: Sequence[Risk], kind: str) -> Figure:
    most = longest(risks)
    panels = [bars(arm, own, kind, most) for arm, own in _arms(risks)]
    key: list[tuple[Markup, str]] = [
        (swatch(el("rect", x=2, y=2, width=22, height=10, class_=class_)), words) for _, class_, words in PARTS
    ]
    key.append((line_swatch("mean"), "95 % interval"))
    return Figure(f"What the risks are made of, {kind}.", panels, BARS_GUIDE, key=key)


def _key(risks: Sequence[Risk]) -> list[tuple[Markup, str]]:
    arms = list(dict.fromkeys(risk.arm for risk in risks))
    conflicts = list(dict.fromkeys(risk.conflict for risk in risks))
    key = [(mark_swatch(shape(arms, arm), "ink"), plain(arm)) for arm in arms]
    return key + [(mark_swatch("circle", f"fill {colour(conflicts, name)}"), plain(name)) for name in conflicts]


def _numbers(risks: Sequence[Risk]) -> Table:
    found = [numbers for risk in risks for numbers in (risk.raw, risk.calibrated) if numbers is not None]
    scale = spread((numbers.bsd for numbers in found), 0.0)

    def row(risk: Risk) -> list[Cell]:
        raw, after = risk.raw, risk.calibrated
        absent = "one group only"
        temperature = "undefined" if risk.temperature_strong is None else number(risk.temperature_strong, 2)
        return [
            estimate_cell(raw.var_strong, 3),
            estimate_cell(raw.random_var_strong, 3),
            estimate_cell(raw.bsd, 3, scale=scale, name=f"BSD, {_name(risk)}", neutral=0.0),
            estimate_cell(raw.bsd_cond, 3),
            estimate_cell(raw.bsd_soft, 3),
            estimate_cell(None if after is None else after.var_strong, 3, absent=absent),
            estimate_cell(
                None if after is None else after.bsd,
                3,
                scale=scale,
                name=f"BSD calibrated, {_name(risk)}",
                neutral=0.0,
                absent=absent,
            ),
            temperature,
        ]

    heads = ("Var", "Var, random order", "BSD", "BSD_cond", "BSD, soft")
    one = risks[0]
    return Table(
        f"The student's variance and blind-spot deception at t_s = {one.t_strong:g} and t_w = {one.t_weak:g}, before "
        "and after calibration.",
        ("Conflict", *heads, "Var, calibrated", "BSD, calibrated", "Temperature"),
        _groups(risks, row),
        NUMBERS_GUIDE,
        stack=True,
        subhead=("dots from … to", "", "", ends(scale, 3), "", "", "", ends(scale, 3), ""),
    )


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


def _inheritance(risks: Sequence[Risk]) -> Table:
    def row(risk: Risk) -> list[Cell]:
        cells: list[Cell] = [el("span", count(risk.raw.errors), class_="est")]
        for owner, _ in OWNERS:
            entry = risk.raw.inheritance[owner]
            rows = el("span", f"{count(entry.count)} row{'s' if entry.count != 1 else ''}", class_="why")
            cells.append(estimate_cell(entry.share, 3) + rows)
        return cells

    heads = ("Confident errors", *(title for _, title in OWNERS))
    caption = "Inheritance: whose errors the student's confident errors are."
    return Table(caption, ("Conflict", *heads), _groups(risks, row), OWNERS_GUIDE, stack=True)


def _bounds(risks: Sequence[Risk]) -> Table:
    residuals = spread((risk.raw.residual for risk in risks), 0.0)

    def row(risk: Risk) -> list[Cell]:
        raw = risk.raw
        cells: list[Cell] = [estimate_cell(value, 3) for value in (raw.risk_strong, raw.risk_weak, raw.misfit)]
        cells.append(estimate_cell(raw.residual, 4, scale=residuals, name=f"Residual, {_name(risk)}", neutral=0.0))
        for bound, _ in BOUNDS:
            entry = raw.bounds[bound]
            word = el("span", "holds" if entry.holds else "violated", class_="why")
            cells.append(estimate_cell(entry.slack, 3) + word)
        return [*cells, estimate_cell(risk.reverse_kl.get("slack"), 3)]

    heads = ("R_s", "R_w", "Misfit M", "Residual", *(f"Slack, {title}" for _, title in BOUNDS), "Slack, reverse KL")
    return Table(
        "Bounds on the student's risk R_s from the weak risk R_w and the misfit M.",
        ("Conflict", *heads),
        _groups(risks, row),
        BOUNDS_GUIDE,
        stack=True,
        subhead=("dots from … to", "", "", "", ends(residuals, 3), "", "", "", ""),
    )


def _sentences(risks: Sequence[Risk]) -> list[str]:
    return [f"{_name(risk)}: {' '.join(plain(text) for text in (risk.verdict, *risk.sentences))}" for risk in risks]
