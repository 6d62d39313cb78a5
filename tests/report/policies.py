"""The fixture's study with policies beside its reward models: DPO, PPO and a user's margin with a hostile name."""

from __future__ import annotations

from w2s_pref.results.deception import CELLS
from w2s_pref.results.parts import LengthMatched, LengthRow, StudentNumbers
from w2s_pref.results.preferences import Arm, Results
from w2s_pref.results.speech import Disagreement, Said, Speech, SpokenShares

from .fixture import HOSTILE, IMAGE, Maker, build

#: What each method adds to the names of arms and nodes.
METHODS = {"reward": "", "dpo": "@dpo", "ppo": "@ppo", f"mine{HOSTILE}": f"@mine{HOSTILE}"}


def said(make: Maker, tokens: float, value: float, odd: float) -> Said:
    """Answers of one model."""
    values = {"gold_target": make.estimate(value - 0.2), "oracle_target": make.estimate(value)}
    return Said(
        samples=480, tokens=make.estimate(tokens, 1.1), refusal=make.estimate(odd), unparseable=make.estimate(odd / 2),
        unended=make.estimate(0.0, 0.0), values=values,
    )  # fmt: skip


def disagreement(make: Maker, spoken: float) -> Disagreement:
    """Ranking better than speech; no item in the last region."""
    cells = {}
    for name, ranked in zip(CELLS, (0.93, 0.81, 0.72, None), strict=True):
        parts = [make.null("Undefined: no such items.")] * 4
        if ranked is not None:
            parts = [make.estimate(share, 0.06) for share in (ranked, ranked * spoken, 0.3, 0.05)]
        there = zip(("ranked_right", "spoken_right", "right_wrong", "wrong_right"), parts, strict=True)
        cells[name] = SpokenShares(n=0 if ranked is None else 80, **dict(there))
    overall = SpokenShares(
        n=240, ranked_right=make.estimate(0.83, 0.04), spoken_right=make.estimate(0.83 * spoken, 0.05),
        right_wrong=make.estimate(0.271, 0.05), wrong_right=make.estimate(0.061, 0.02),
    )  # fmt: skip
    return Disagreement(
        judge="oracle_target", threshold=0.75, known_rule="gt_prob", samples=480, unparseable=12, left_out=3,
        overall=overall, cells=cells, blind_spot=make.estimate(0.117, 0.09),
    )  # fmt: skip


def speech(make: Maker, arm: Arm | None, conflict: str | None, model: str) -> Speech:
    """What one policy says."""
    rate = 0.66 if conflict != "explicit" else 0.41
    rates = {"gold_target": make.estimate(rate + 0.1, 0.03), "oracle_target": make.estimate(rate, 0.03)}
    kl = make.null("Undefined: no log-probabilities.") if arm is None else make.estimate(3.21, 0.4)
    return Speech(
        model=model, arm=None if arm is None else arm.name, conflict=conflict, reference=f"reference/{model}",
        prompts=120, judge="oracle_target", win_rate=rates, said=said(make, 21.4, 1.31, 0.04),
        reference_said=said(make, 14.2, 0.77, 0.02), kl=kl, kl_per_token=kl,
        disagreement=None if arm is None else disagreement(make, 0.7),
        notes=[f"12 of 480 samples have no counterpart {IMAGE}"] if conflict == "implicit" else [],
    )  # fmt: skip


def matched(arms: list[Arm]) -> LengthMatched:
    """Length-matched numbers a little under the raw ones."""
    make = Maker(2)
    rows = []
    for one in arms:
        for place in one.settings:
            taxed = place.deception[0] if place.conflict != "none" else None
            raw = StudentNumbers(accuracy=place.performance.accuracy, pgr=place.pgr)
            less = StudentNumbers(accuracy=make.estimate(0.711), pgr=make.null("gap within noise"))
            if taxed is not None:
                raw = raw.model_copy(update={"tax": taxed.tax, "deception_score": taxed.score, "lift": taxed.lift})
                less = less.model_copy(
                    update={"tax": 31, "deception_score": make.estimate(0.211), "lift": make.estimate(1.13)}
                )
            rows.append(LengthRow(arm=one.name, conflict=place.conflict, raw=raw, matched=less))
    return LengthMatched(
        items=300, kept=214, shorter_raw=make.estimate(0.591, 0.03), shorter_matched=make.estimate(0.5, 0.04),
        reference="w2s", rows=rows,
    )  # fmt: skip


def with_policies(results: Results | None = None) -> Results:
    """The same study with policies beside the reward models."""
    results = results or build()
    make = Maker(len(results.seeds))
    arms = []
    for method, suffix in METHODS.items():
        for plain in results.arms:
            one = plain.model_copy(deep=True)
            one.name, one.method, one.supervision = f"{plain.name}{suffix}", method, plain.name
            one.chain[-1] += suffix
            for place in one.settings:
                place.model = f"{one.name}/{place.conflict}"
            arms.append(one)
    spoken = [speech(make, a, s.conflict, s.model) for a in arms if a.method != "reward" for s in a.settings]
    spoken.append(speech(make, None, None, "ceiling/large@dpo"))
    ceilings = {**results.ceilings, "large@dpo": make.performance(0.861)}
    return results.model_copy(
        update={"arms": arms, "speech": spoken, "ceilings": ceilings, "length_matched": matched(arms)}
    )
