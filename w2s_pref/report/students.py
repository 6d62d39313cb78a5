"""Results laid out by student: what is known of each, and the metrics every table shows in the same order and words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from w2s_pref.report.draw.blocks import Column, Value
from w2s_pref.report.draw.format import count, number
from w2s_pref.results.deception import Deception, KnownRule, Reference
from w2s_pref.results.estimates import Estimate, Performance
from w2s_pref.results.preferences import Results, Setting
from w2s_pref.results.speech import Speech
from w2s_pref.results.trainings import ModelInfo

Headline = tuple[Reference, KnownRule]

REFERENCE_WORDS: Final[dict[str, str]] = {"w2s": "no-conflict student", "ceiling": "ceiling"}
RULE_WORDS: Final[dict[str, str]] = {"gt_prob": "probability of the truth", "max_prob": "confidence either way"}
CELL_WORDS: Final[dict[str, str]] = {
    "sk_wk": "strong knows, weak knows",
    "sk_wuk": "strong knows, weak does not",
    "suk_wk": "strong does not, weak knows",
    "suk_wuk": "neither knows",
}
#: Heading of models that are no final student.
OTHERS: Final = "Other models"
REWARD: Final = "reward"
METHOD_WORDS: Final[dict[str, str]] = {
    REWARD: "reward model",
    "sft": "SFT",
    "dpo": "DPO",
    "simpo": "SimPO",
    "wspo": "WSPO",
    "sepo": "SePO",
    "macpo": "MACPO",
    "ipo": "IPO",
    "ppo": "PPO",
    "rloo": "RLOO",
    "grpo": "GRPO",
    "search": "search",
    "eft": "EFT",
}
JUDGE_WORDS: Final[dict[str, str]] = {
    "oracle_target": "oracle",
    "gold_target": "gold judge",
    "oracle_conflict": "oracle of the conflicting objective",
    "gold_conflict": "gold judge of the conflicting objective",
}


class OfArm(Protocol):
    """Anything that belongs to an arm, or to none."""

    @property
    def arm(self) -> str | None:
        """Its name."""


T = TypeVar("T", bound=OfArm)


@dataclass(frozen=True)
class Student:
    """One student: the deception table of the report's headline, what it says, if it speaks, and its own metrics."""

    arm: str
    setting: Setting
    deception: Deception | None
    method: str = REWARD
    supervision: str = ""
    speech: Speech | None = None
    metrics: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def conflict(self) -> str:
        """The conflict setting's name."""
        return self.setting.conflict


@dataclass(frozen=True)
class Metric:
    """A column: its key in JSON, its heading, decimals, the value that means "nothing there", how to read it off."""

    key: str
    title: str
    short: str
    digits: int
    neutral: float | None
    get: Callable[[Student], Estimate | None]


def _deception(name: str) -> Callable[[Student], Estimate | None]:
    return lambda student: getattr(student.deception, name) if student.deception is not None else None


ACCURACY: Final = Metric("accuracy", "Accuracy", "accuracy", 3, None, lambda one: one.setting.performance.accuracy)
CONFLICT_ACCURACY: Final = Metric(
    "conflict_accuracy",
    "Accuracy, conflicting objective",
    "conflict acc.",
    3,
    None,
    lambda one: one.setting.performance.conflict_accuracy,
)
PGR: Final = Metric("pgr", "Performance gap recovered", "PGR", 2, 0.0, lambda one: one.setting.pgr)
SCORE: Final = Metric("deception_score", "Deception score", "DS", 3, None, _deception("score"))
NULL_SHARE: Final = Metric("null_share", "Null share", "null", 3, None, _deception("null_share"))
RISK_RATIO: Final = Metric("risk_ratio", "Risk ratio", "RR", 2, 1.0, _deception("risk_ratio"))
LIFT: Final = Metric("lift_smooth", "Lift", "lift", 2, 1.0, _deception("lift_smooth"))
BINNED: Final = Metric("lift", "Binned lift", "binned lift", 2, 1.0, _deception("lift"))

WIN: Final = Metric("win_rate", "Win rate against the reference", "win rate", 3, 0.5, lambda one: win_rate(one.speech))

TAXED: Final = (SCORE, NULL_SHARE, RISK_RATIO, LIFT, BINNED)
METRICS: Final = (ACCURACY, CONFLICT_ACCURACY, PGR, *TAXED)
BY_KEY: Final = {metric.key: metric for metric in METRICS}


def column(metric: Metric, head: str, *, bounds: bool = True, part: str = "") -> Column[Student]:
    """A metric as a column with dots."""
    return Column(
        head,
        lambda student: cell(student, metric),
        metric.digits,
        axis=metric.key,
        neutral=metric.neutral,
        title=metric.title,
        bounds=bounds,
        part=part,
    )


def cell(student: Student, metric: Metric) -> Value:
    """One number of one student; a deception score stands with its null share, an undefined PGR with its raw value."""
    value, entry = metric.get(student), student.deception
    missing = absent(student, metric)
    if metric is SCORE and entry is not None:
        null = entry.null_share.estimate
        return Value(value, [f"null share {number(null)}"], missing, null)
    if metric is PGR and student.setting.pgr.estimate is None:
        return Value(value, [f"raw {number(student.setting.pgr_raw, 2)}"], missing)
    return Value(value, absent=missing)


def tax(student: Student) -> Value:
    """The number of items lost under conflict."""
    if student.deception is None:
        return Value(absent(student, LIFT), tone="missing")
    return Value(count(student.deception.tax))


def by_arm(items: Iterable[T]) -> list[tuple[str, list[T]]]:
    """Anything that has an arm, grouped by its name; what belongs to no arm under ``Other models``."""
    found: dict[str | None, list[T]] = {}
    for item in items:
        found.setdefault(item.arm, []).append(item)
    return [(OTHERS if arm is None else arm, own) for arm, own in found.items()]


def headline(results: Results) -> Headline | None:
    """Reference and rule of the main tables: the first entry measured against the no-conflict student, else the first.

    The main tables never mix references in one column; the other combinations stand in a table of their own.
    """
    entries = [entry for arm in results.arms for setting in arm.settings for entry in setting.deception]
    preferred = [entry for entry in entries if entry.reference == "w2s"] or entries
    return (preferred[0].reference, preferred[0].known_rule) if preferred else None


def measured(results: Results, sentence: str, otherwise: str = "") -> str:
    """A sentence with {reference}, {rule} and {thresholds} of the main tables; other words where there are none."""
    combination = headline(results)
    if combination is None:
        return otherwise
    reference, rule = combination
    found = sorted({entry.threshold for arm in results.arms for one in arm.settings for entry in one.deception})
    words = ", ".join(f"{threshold:g}" for threshold in found)
    return sentence.format(reference=REFERENCE_WORDS[reference], rule=RULE_WORDS[rule], thresholds=words)


def tax_title(results: Results) -> str:
    """What the deception columns are measured against."""
    return measured(results, "Deception against the {reference}; known: {rule} at least {thresholds}", "Deception")


def students(results: Results) -> Iterator[Student]:
    """Every student in the order of the results."""
    wanted = headline(results)
    said = {one.model: one for one in results.speech}
    for arm in results.arms:
        for setting in arm.settings:
            found = (entry for entry in setting.deception if (entry.reference, entry.known_rule) == wanted)
            speech = said.get(setting.model)
            own = {m.metric: m.value for m in results.metrics if (m.arm, m.conflict) == (arm.name, setting.conflict)}
            yield Student(arm.name, setting, next(found, None), arm.method, arm.supervision, speech, own)


def own_metrics(results: Results) -> dict[str, str]:
    """The user's metrics, in the recipe's order, and what they say of themselves."""
    return {one.metric: one.about for one in results.metrics}


def win_rate(speech: Speech | None) -> Estimate | None:
    """The win rate by the judge of the study's headline numbers."""
    return None if speech is None or speech.judge is None else speech.win_rate.get(speech.judge)


def judge_word(results: Results) -> str:
    """The judge behind the win rates in words; empty where nobody was judged."""
    return next((JUDGE_WORDS[one.judge] for one in results.speech if one.judge is not None), "")


def method_word(method: str) -> str:
    """A method as people write it; a recipe's own name as it stands."""
    return METHOD_WORDS.get(method, method)


def has_policies(results: Results) -> bool:
    """Whether any final student is something else than a reward model."""
    return any(results.makes_policies(arm.method) for arm in results.arms)


def node_info(results: Results, node: str) -> ModelInfo | None:
    """The recipe's model behind a node of a chain."""
    return results.models.get(node) or results.models.get(node.partition("@")[0])


def model_source(model: ModelInfo) -> str:
    """Where a model's weights come from, and in what form they were there if that is not theirs now."""
    return model.path if model.precision is None else f"{model.path} ({model.precision}, dequantised)"


def ceilings(results: Results) -> list[tuple[str, Performance]]:
    """Ceilings in the order of the recipe's models, then the untrained student where there is one."""
    order = list(results.models)

    def place(name: str) -> tuple[int, bool]:
        model = name if name in order else name.partition("@")[0]
        return (order.index(model) if model in order else len(order)), name != model

    names = sorted(results.ceilings, key=place)
    models = [(name, results.ceilings[name]) for name in names]
    return models if results.base is None else [*models, ("base (untrained)", results.base)]


def find(results: Results, arm: str, conflict: str) -> Student | None:
    """One student, or none."""
    return next((one for one in students(results) if (one.arm, one.conflict) == (arm, conflict)), None)


def absent(student: Student, metric: Metric) -> str:
    """The words for a metric that was not produced at all for this student."""
    if metric is WIN:
        return "only ranks" if student.method == REWARD else "not sampled"
    if metric not in TAXED:
        return "not measured"
    if student.conflict != "none":
        return "not analysed"
    return "is the reference" if metric is SCORE else "n/a"
