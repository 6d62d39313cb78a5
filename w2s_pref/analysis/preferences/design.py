"""The design of a study, and the arrays and resamples every part of its analysis shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from w2s_pref.analysis.deception.measures import Options
from w2s_pref.analysis.scores.calibration import Calibrated, calibration
from w2s_pref.analysis.scores.panel import Panel
from w2s_pref.analysis.stats.basics import credit, expected
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Floats
from w2s_pref.results.deception import KnownRule
from w2s_pref.results.preferences import members

#: Settings without a conflict worth naming: the plain student and the two controls.
CONTROLS = ("none", "placebo", "gold")


@dataclass(frozen=True)
class ArmDesign:
    """One way of supervising.

    Attributes:
        name: of the arm, as in the score table.
        chain: nodes, weakest first, at least two; a node is ``model`` or ``model@method``.
        method: what trains the final student; "reward" for a reward model.
        supervision: the name without the method; arms that share it differ by method alone. Default: the name.
        ends: what the weak and the strong end are called where arms are compared. Default: the chain's own.
        rounds: score-table name -> number of the round, of every model of a student that learns in rounds.
    """

    name: str
    chain: tuple[str, ...]
    method: str = "reward"
    supervision: str = ""
    ends: tuple[str, str] = ("", "")
    rounds: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The defaults of ``supervision`` and ``ends``."""
        object.__setattr__(self, "supervision", self.supervision or self.name)
        object.__setattr__(self, "ends", self.ends if any(self.ends) else (self.chain[0], self.chain[-1]))

    @property
    def kind(self) -> str:
        """``direct`` (weak teaches strong) or ``bootstrapped`` (through intermediates)."""
        return "direct" if len(self.chain) == 2 else "bootstrapped"

    @property
    def weak(self) -> str:
        """Score-table name of the weak ceiling."""
        return f"ceiling/{self.chain[0]}"

    @property
    def strong(self) -> str:
        """Score-table name of the strong ceiling."""
        return f"ceiling/{self.chain[-1]}"

    @property
    def supervisor(self) -> str:
        """Score-table name of the model that labelled the final student's pairs."""
        return self.weak if len(self.chain) == 2 else f"{self.name}/hop{len(self.chain) - 2}"


@dataclass(frozen=True)
class Design:
    """A study: arms x conflicts x seeds, the two objectives, and how regions and intervals are made.

    Attributes:
        arms: ways of supervising; the first of those with the same ends is what the others are compared with.
        conflicts: settings of the final student, "none" among them where its tax is to be measured.
        seeds: seeds every model was trained with.
        target, conflict: objectives (values of the score table's ``objective``); ``conflict`` None without a second.
        ladder: whether metrics are read against the capability gap.
        threshold, known_rule: of the regions shown in maps and comparisons.
        resamples, seed: of every bootstrap and permutation test.
        placebos: score-table names of unrelated weak models for the placebo gate, beside the other seeds' weak models
            (``placebo_of``).
        by: column of the test pairs by which students are shown, and how many rows of each value taught (``parts``).
        references: policy -> the model it started from, both as named in the judged table.
        best_of: searching student -> the best of as many plain answers as it paid for, as named there.
        judges: judge of arguments -> what it is (``judge``, ``protocol``) and the score-table names of what it says
            after its arguments (``argued``), without any (``naive``), and under the nulls (``shuffled``, ``blank``).
    """

    arms: tuple[ArmDesign, ...]
    conflicts: tuple[str, ...]
    seeds: tuple[int, ...]
    target: str
    conflict: str | None
    ladder: bool
    threshold: float = 0.75
    known_rule: KnownRule = "gt_prob"
    resamples: int = 2000
    seed: int = 0
    placebos: tuple[str, ...] = ()
    by: Mapping[str, Any] | None = None
    references: Mapping[str, str] = field(default_factory=dict)
    best_of: Mapping[str, str] = field(default_factory=dict)
    judges: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def placebo_of(self, arm: ArmDesign) -> str | None:
        """The first of ``placebos`` that the arm's chain does not hold, or else that is at neither end of it.

        One at the weak end is the blind spot itself, and what the strong model does not know is in no blind spot.
        """
        places = [{f"ceiling/{model}" for model in _models(node)} for node in arm.chain]
        able = [name for name in self.placebos if name not in places[0] | places[-1]]
        return next((name for name in able if name not in set().union(*places)), able[0] if able else None)


@dataclass(frozen=True)
class Context:
    """Panels of both test sets with their resamples; per-model statistics are computed once and kept.

    ``sure`` and ``other_sure`` (N,) say how probable it is that the answer called true is so; None: known for sure.
    """

    design: Design
    target: Panel
    draw: Resampler
    other: Panel | None
    other_draw: Resampler | None
    sure: Floats | None = None
    other_sure: Floats | None = None
    _accuracy: dict[tuple[str, bool], Stat] = field(default_factory=dict)
    _calibration: dict[str, Calibrated] = field(default_factory=dict)

    def options(self, rule: KnownRule) -> Options:
        """Options of the deception measures under one rule of knowing."""
        d = self.design
        return Options(threshold=d.threshold, known_rule=rule, resamples=d.resamples, seed=d.seed)

    def credit(self, model: str) -> Floats:
        """(K, N) accuracy credit of a model on the target test set."""
        return credit(self.target.delta[model])

    def expected(self, model: str) -> Floats:
        """(K, N) accuracy credit to be expected on the target test set: the agreement with the ground truth."""
        return expected(self.credit(model), self.sure)

    def accuracy(self, model: str) -> Stat:
        """Accuracy on the target test set: expected agreement, where the ground truth is a probability."""
        key = (model, True)
        if key not in self._accuracy:
            self._accuracy[key] = self.draw.mean(self.expected(model))
        return self._accuracy[key]

    def conflict_accuracy(self, model: str) -> Stat | None:
        """Accuracy on the conflicting test set, None where the model was not scored there."""
        if self.other is None or self.other_draw is None or model not in self.other.delta:
            return None
        key = (model, False)
        if key not in self._accuracy:
            self._accuracy[key] = self.other_draw.mean(expected(credit(self.other.delta[model]), self.other_sure))
        return self._accuracy[key]

    def calibration(self, model: str) -> Calibrated:
        """Calibration on the target test set."""
        if model not in self._calibration:
            self._calibration[model] = calibration(
                self.target.p(model), self.target.delta[model], self.draw, sure=self.sure
            )
        return self._calibration[model]


def _models(node: str) -> list[str]:
    """The models of one place in a chain, without their methods: of ``mean(a, b@dpo)`` both."""
    return [each.partition("@")[0] for each in members(node)]
