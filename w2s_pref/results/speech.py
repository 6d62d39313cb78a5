"""What policies say, and whether they say what they rank."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from w2s_pref.results.deception import KnownRule
from w2s_pref.results.estimates import Estimate, Model

Judge = Literal["gold_target", "gold_conflict", "oracle_target", "oracle_conflict"]


class Said(Model):
    """What one model said: mean response tokens, shares of samples, and mean value under each judge that judged it."""

    samples: int
    tokens: Estimate
    refusal: Estimate
    unparseable: Estimate
    unended: Estimate
    values: dict[Judge, Estimate]


class SpokenShares(Model):
    """Ranking against speech on the ``n`` rows of a region (items x seeds): shares of them.

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
    knows and weak does not, minus that share elsewhere; ``prompts`` counts those of the smaller side (null in older
    files).
    """

    judge: Judge
    threshold: float
    known_rule: KnownRule
    samples: int
    unparseable: int
    left_out: int
    overall: SpokenShares
    cells: dict[str, SpokenShares]
    blind_spot: Estimate
    prompts: int | None = None


class BestOf(Model):
    """A search beside the best of ``candidates`` whole answers (a mean over seeds), chosen by what guides the search.

    ``drawn``, ``spent``: tokens that the strong model drew for an answer of the search, and for one of ``model``.
    ``win_rate`` of the search over it.
    """

    model: str
    candidates: float
    drawn: Estimate
    spent: Estimate
    win_rate: dict[Judge, Estimate]


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
    best_of: BestOf | None = Field(None, description="only there where a model was searched for its answers")
    notes: list[str] = Field(default_factory=list)

    @model_serializer(mode="wrap")
    def _without_a_search(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What was not searched for is written as before."""
        found: dict[str, Any] = write(self)
        return {name: value for name, value in found.items() if value is not None or name != "best_of"}
