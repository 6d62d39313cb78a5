"""Verdicts on "selective" as every table shows them: a label, three gates, p values, and what could have been found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

from w2s_pref.report.draw.blocks import Column, Value
from w2s_pref.report.draw.format import number, p_value
from w2s_pref.results.deception import Deception, Gate, Gates, PlaceboGate, PlaceboKind, Sensitivity, VerdictCode
from w2s_pref.results.estimates import LEVEL, Estimate

LABELS: Final[dict[VerdictCode, str]] = {
    "selective": "selective",
    "suspicious": "suspicious",
    "opposite": "the opposite of selective",
    "not_resolved": "not resolved",
    "undefined": "undefined",
}
#: The gates by key, as columns name them.
GATES: Final[Mapping[str, str]] = {"margin": "Lift", "adjusted": "Adjusted lift", "placebo": "Over placebo"}
#: The kinds of placebo in words.
PLACEBOS: Final[Mapping[PlaceboKind, str]] = {
    "siblings": "the other seeds' weak models",
    "unrelated": "an unrelated weak model",
}
#: A margin-only verdict: what results hold that were written before there were three gates.
BEFORE_GATES: Final = "judged by the margin alone"

#: A slack whose whole interval is nearer to 0 is 0, but for rounding.
SAME: Final = 1e-9

T = TypeVar("T")


def bound(slack: Estimate) -> str:
    """Whether an upper bound holds, by the interval of its slack; of models that are the same the slack is 0."""
    if slack.interval is None:
        return "undefined"
    same = max(map(abs, slack.interval)) < SAME
    return "holds" if same else {1: "holds", 0: "not resolved", -1: "violated"}[slack.side()]


class Judged(Protocol):
    """A student or a control: what its verdict is made of."""

    @property
    def verdict(self) -> str:
        """In a sentence."""

    @property
    def verdict_code(self) -> VerdictCode | None:
        """In one word; none in older results."""

    @property
    def gates(self) -> Gates | None:
        """The three gates; none in older results."""


def label(entry: Judged) -> str:
    """The verdict in one or two words; of older results, what stands before the colon."""
    if entry.verdict_code is not None:
        return LABELS[entry.verdict_code]
    return entry.verdict.partition(":")[0].lower()


def outcome(entry: Deception) -> str:
    """The label, and whether a selective student outlives the correction."""
    word = label(entry)
    if entry.verdict_code == "selective" and entry.p_adjusted is not None and entry.p_adjusted > LEVEL:
        return f"{word}, but not after correction for the number of students"
    return word


def found(sensitivity: Sensitivity | None) -> str:
    """The smallest planted effect that would have been found, in words."""
    return "not asked" if sensitivity is None else sensitivity.words


def failures(entry: Judged) -> str:
    """The gates that failed, in words; a placebo that does not exist is said to be missing."""
    if entry.gates is None:
        return BEFORE_GATES
    words = {name: head.lower() for name, head in GATES.items()}
    words |= {name: f"{words[name]} (missing)" for name in GATES if getattr(entry.gates, name) is None}
    return ", ".join(words[name] for name in entry.gates.failed()) or "none"


def gate(entry: Judged, name: str) -> Value:
    """One gate as a number with both readings and its p."""
    if entry.gates is None:
        return Value(None, absent="not made")
    made: Gate | None = getattr(entry.gates, name)
    if made is None:
        why = entry.gates.missing if name == "placebo" and entry.gates.missing else "Undefined on these items."
        return Value(Estimate(estimate=None, note=why))
    shown = Estimate(estimate=made.lift, interval=made.interval, interval_in_seeds=made.interval_in_seeds)
    return Value(shown, [f"p {p_value(made.p)}", *(_placebos(entry.gates) if name == "placebo" else [])])


def _placebos(gates: Gates) -> list[str]:
    """Which placebo decided, where there are several kinds."""
    of = gates.placebo_of
    others = [f"{PLACEBOS[kind]}: {_told(each)}" for kind, each in gates.placebos.items() if kind != of]
    return [f"by {PLACEBOS[of]}, the harder to pass", *others] if of is not None and others else []


def _told(gate: PlaceboGate) -> str:
    if gate.interval is None:
        return "cannot tell" if gate.overlap is None else f"cannot tell, overlap {number(gate.overlap, 2)}"
    return f"{number(gate.lift, 2)}, p {p_value(gate.p)}"


def gates(read: Callable[[T], Judged], part: str = "") -> list[Column[T]]:
    """A column a gate."""

    def column(name: str, head: str) -> Column[T]:
        return Column(head, lambda row: gate(read(row), name), 2, neutral=1.0, part=part)

    return [column(name, head) for name, head in GATES.items()]


def corrected(read: Callable[[T], Deception], part: str = "") -> list[Column[T]]:
    """The student's p raw and adjusted, what could have been found, and the overlap of the two blind spots."""
    return [
        Column("p", lambda row: p_cell(read(row).p), part=part),
        Column("p, adjusted", lambda row: p_cell(read(row).p_adjusted), short="p adj.", part=part),
        Column("Found from ρ", lambda row: _rho(read(row).sensitivity), part=part),
        Column("Overlap", lambda row: _overlap(read(row).gates), part=part),
    ]


def p_cell(value: float | None) -> Value:
    """A p value, or that there is none."""
    return Value("none", tone="missing") if value is None else Value(p_value(value), tone="number")


def _rho(sensitivity: Sensitivity | None) -> Value:
    if sensitivity is None:
        return Value("not asked", tone="missing")
    if sensitivity.figure is None:
        return Value("cannot tell", tone="missing")
    return Value(sensitivity.figure, tone="number")


def _overlap(gates: Gates | None) -> Value:
    if gates is None or gates.overlap is None:
        return Value("none", tone="missing")
    return Value(number(gates.overlap, 2), tone="number")
