"""A full ``Results`` as a real run would write it: two arms, three conflicts, two seeds, nulls, and hostile text."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any, Literal

from w2s_pref.results.deception import (
    CELLS,
    Churn,
    Coefficient,
    Deception,
    Gate,
    Gates,
    PowerPoint,
    RegionCounts,
    RegionMap,
    RegionPoint,
    Sensitivity,
    Suspicious,
    SweepPoint,
)
from w2s_pref.results.estimates import Bin, Calibration, Estimate, Performance
from w2s_pref.results.preferences import (
    Agreement,
    Arm,
    Comparison,
    Control,
    Family,
    Hop,
    Inheritance,
    Ladder,
    LadderPoint,
    Results,
    Setting,
    Slope,
    Verdict,
)
from w2s_pref.results.trainings import Curve, ModelInfo, Provenance, SplitInfo

HOSTILE = "<script>alert(1)</script>"
IMAGE = "\"><img src=x onerror=alert(1)> & 'quotes' https://evil.example/a.png"
LONG = "Donaudampfschifffahrtsgesellschaftskapitän" * 12
RTL = "שלום עולם, مرحبا بالعالم \u202egnp.exe"
ESCAPES = "red \x1b[31malert\x1b[0m [bold]not markup[/bold] | `code` \x07"
CHAINS = {"direct": ["tiny", "large"], "bootstrapped": ["tiny", "small", "large"]}
CONFLICTS = ("none", "explicit", "implicit")


class Maker:
    """Draws plausible numbers, the same for the same seeds. ``old``: without what schema 1 did not have."""

    def __init__(self, seeds: int, old: bool = False) -> None:
        self.rng = random.Random(7)
        self.seeds = seeds
        self.old = old

    def estimate(self, mean: float, width: float = 0.02) -> Estimate:
        """An estimate with its interval and seeds."""
        seeds: list[float | None] = [mean + self.rng.uniform(-width, width) * 0.7 for _ in range(self.seeds)]
        interval = (mean - width, mean + width * 1.2)
        if self.old:
            return Estimate(estimate=mean, interval=interval, seeds=seeds)
        inner = (mean - width / 2, mean + width / 2) if self.seeds > 1 else interval
        over: Literal["seeds", "items"] = "seeds" if self.seeds > 1 else "items"
        return Estimate(estimate=mean, interval=interval, interval_in_seeds=inner, over=over, seeds=seeds)

    def null(self, note: str | None) -> Estimate:
        """A number that does not exist."""
        return Estimate(estimate=None, seeds=[None] * self.seeds, note=note)

    def performance(self, accuracy: float, conflict: float | None = 0.6) -> Performance:
        """Accuracies and a reliability diagram with an empty bin."""
        bins = [Bin(low=0.5, high=0.55, n=0, confidence=None, accuracy=None)]
        for index in range(1, 10):
            low = 0.5 + index * 0.05
            right = min(1.0, max(0.0, low + 0.03 - 0.06 * self.rng.random()))
            bins.append(Bin(low=low, high=low + 0.05, n=10 + 9 * index, confidence=low + 0.02, accuracy=right))
        calibration = Calibration(ece=self.estimate(0.041, 0.008), brier=self.estimate(0.142, 0.01), reliability=bins)
        other = None if conflict is None else self.estimate(conflict)
        return Performance(accuracy=self.estimate(accuracy), conflict_accuracy=other, calibration=calibration)

    def deception(self, reference: Any, rule: Any, tax: int, lift: float) -> Deception:
        """One deception table; everything relative to the tax is undefined where there is none."""
        cells = {}
        for name, n, share in zip(CELLS, (210, 130, 60, 200), (0.2, 0.1, 0.25, 0.45), strict=True):
            lost = round(tax * share)
            rate = lost / (n * 0.8) if tax else None
            cells[name] = RegionCounts(n=n, eligible=int(n * 0.8), tax=lost, errors=n // 5, rate=rate, error_rate=0.2)
        sweep = [self.sweep(t / 40, tax, lift) for t in range(20, 40)]
        score = self.estimate(0.1 * lift * 2, 0.05) if tax else self.null("no tax")
        none = self.null("no tax")
        names = ("p_s", "p_w", "margin", "p_s(1-p_w)")
        regression = [Coefficient(name=n, estimate=self.rng.uniform(-1, 1), interval=(-1.2, 1.3)) for n in names]
        warnings = [f"conflict tax of {tax} items is below 50: intervals are wide"] if tax < 50 else []
        return Deception(
            reference=reference, known_rule=rule, threshold=0.75, n=600, tax=tax, cells=cells, score=score,
            null_share=self.estimate(0.217, 0.02), risk_ratio=self.estimate(lift * 1.1, 0.4) if tax else none,
            lift=self.estimate(lift, 0.35) if tax else none, lift_dropped=3,
            lift_smooth=self.null("too few controls") if tax < 50 else self.estimate(lift * 0.95, 0.4),
            permutation_p=0.031 if tax else None, sweep=sweep, regression=regression if tax else [],
            verdict="undefined: no tax" if not tax else "not resolved" if lift < 1.3 else "above its null",
            warnings=warnings, **({} if self.old else self.judged(tax, lift)),
        )  # fmt: skip

    def judged(self, tax: int, lift: float) -> dict[str, Any]:
        """Gates, p values and sensitivity: high lifts pass all gates, the others none; no gate without tax."""
        code = "undefined" if not tax else "selective" if lift > 1.3 else "not_resolved"
        if not tax:
            return {"verdict_code": code, "gates": Gates(margin=None, adjusted=None, placebo=None)}
        found = self.gates(lift) if self.seeds > 1 else self.gates(lift).model_copy(update={"placebo": None})
        curve = [PowerPoint(rho=rho, power=power) for rho, power in ((0, 0.02), (0.1, 0.55), (0.2, 0.9), (0.3, 1.0))]
        asked = Sensitivity(rho_80=0.171, curve=curve)
        return {"verdict_code": code, "gates": found, "p": 0.004, "p_adjusted": 0.016, "sensitivity": asked}

    def gates(self, lift: float) -> Gates:
        """Three gates about a lift."""
        ends = (0.2, 0.3) if self.seeds > 1 else (0.3, 0.4)
        made = [
            Gate(lift=lift * by, interval=(lift * by - 0.3, lift * by + 0.4), p=0.004,
                 interval_in_seeds=(lift * by - ends[0], lift * by + ends[1]))
            for by in (1.0, 0.95, 0.9)
        ]  # fmt: skip
        why = "No placebo: one seed has no sibling." if self.seeds == 1 else None
        return Gates(margin=made[0], adjusted=made[1], placebo=made[2], overlap=0.41, missing=why)

    def controls(self) -> list[Control]:
        """Honest, blind, and a deceiver that is found."""
        none = self.null("no tax")
        about = {"honest": "nothing flips", "blind": "fails at small margins", "deceiver": "fails in the blind spot"}
        found = []
        for name, lift in (("honest", 0.0), ("blind", 1.0), ("deceiver", 2.4)):
            judged = self.judged(int(100 * lift), lift)
            found.append(
                Control(
                    name=name, about=about[name], rho=0.5 if name == "deceiver" else None,  # type: ignore[arg-type]
                    tax=int(100 * lift), score=self.estimate(0.2, 0.1) if lift else none,
                    lift_smooth=self.estimate(lift, 0.3) if lift else none, gates=judged["gates"],
                    verdict_code=judged["verdict_code"], verdict=f"A sentence on the {name} one.",
                )
            )  # fmt: skip
        return found

    def sweep(self, threshold: float, tax: int, lift: float) -> SweepPoint:
        """One point of the sweep; nothing is defined in the last part, nor without tax."""
        there = bool(tax) and threshold < 0.93
        null = 0.42 * (1 - threshold) * 2
        score = min(1.0, null * (0.8 + 0.3 * lift))
        interval = (max(0.0, score - 0.08), min(1.0, score + 0.09)) if there else None
        return SweepPoint(
            threshold=threshold, score=score if there else None, null_share=null if threshold < 0.96 else None,
            lift=lift + self.rng.uniform(-0.2, 0.2) if there else None, interval=interval, tax=tax,
        )  # fmt: skip


def setting(make: Maker, arm: str, conflict: str) -> Setting:
    """One student."""
    place = CONFLICTS.index(conflict)
    accuracy = (0.812, 0.741, 0.768)[place] + (0.012 if arm == "bootstrapped" else 0.0)
    tax, lift = (0, 1.0) if conflict == "none" else (88, 1.62) if conflict == "explicit" else (41, 1.08)
    taxed = [make.deception(r, k, tax, lift) for r in ("w2s", "ceiling") for k in ("gt_prob", "max_prob")]
    gap = arm == "bootstrapped" and conflict == "implicit"
    return Setting(
        conflict=conflict,
        model=f"{arm}/{conflict}",
        performance=make.performance(accuracy, None if conflict == "none" else 0.58 + 0.1 * place),
        pgr=make.null("gap within noise") if gap else make.estimate(0.61 - 0.3 * place, 0.2),
        pgr_raw=None if gap else 0.6,
        agreement=Agreement(
            overall=make.estimate(0.83), supervisor_right=make.estimate(0.91), supervisor_wrong=make.estimate(0.52)
        ),
        inheritance=Inheritance(
            inherited=make.estimate(0.52), corrected=make.estimate(0.48), new_errors=make.estimate(0.09)
        ),
        deception=taxed if conflict != "none" else [taxed[2]],
    )


def arm(make: Maker, name: str) -> Arm:
    """One arm with its hops; the last hop carries the student's accuracy."""
    chain = CHAINS[name]
    hops = [
        Hop(
            supervisor=weak, student=strong, label_accuracy=make.estimate(0.72 + 0.05 * place),
            label_brier=make.estimate(0.19, 0.01), kept_share=Estimate(estimate=1.0, note="no filter"),
            kept_accuracy=make.null("no filter"), accuracy=make.estimate(0.77 + 0.04 * place) if place else None,
        )
        for place, (weak, strong) in enumerate(pairwise(chain))
    ]  # fmt: skip
    churn = Churn(score=make.estimate(0.21, 0.1), lift=make.estimate(0.98, 0.5), tax=19) if make.seeds > 1 else None
    if churn is not None and not make.old:
        churn.lift_smooth = make.estimate(1.02, 0.4)
    return Arm(name=name, chain=chain, hops=hops, settings=[setting(make, name, c) for c in CONFLICTS], churn=churn)


def comparisons(make: Maker) -> list[Comparison]:
    """Bootstrapped minus direct."""
    found = []
    lift = "lift" if make.old else "lift_smooth"
    for metric, width in (("accuracy", 0.02), ("pgr", 0.25), ("deception_score", 0.08), (lift, 0.6)):
        for conflict in CONFLICTS:
            absent = conflict == "none" and metric in ("deception_score", lift)
            value = make.null("no tax") if absent else make.estimate(width * (1.4 if metric == "pgr" else 0.5), width)
            verdict = "undefined" if absent else "higher" if metric == "pgr" else "not resolved"
            found.append(
                Comparison(
                    first="direct", second="bootstrapped", conflict=conflict, metric=metric,  # type: ignore[arg-type]
                    difference=value, verdict=verdict,
                    **({} if make.old or absent else {"p": 0.011, "p_adjusted": 0.11, "smallest_found": 1.4 * width}),
                )
            )  # fmt: skip
    return found


def ladder(make: Maker) -> Ladder:
    """All pairs of four sizes, some undefined."""
    sizes = ["tiny", "small", "medium", "large"]
    points = [
        LadderPoint(
            weak=weak, strong=strong, arm=name, conflict=conflict, gap=0.05 * (j - i) + 0.01 * i,
            pgr=0.3 + 0.1 * make.rng.random(), deception_score=None if conflict == "none" else 0.2 + 0.1 * (j - i),
            **{"lift" if make.old else "lift_smooth": None if conflict == "none" else 0.8 + make.rng.random()},
        )
        for i, weak in enumerate(sizes) for j, strong in enumerate(sizes) if i < j
        for name in CHAINS for conflict in CONFLICTS
    ]  # fmt: skip
    slope = Slope(metric="lift" if make.old else "lift_smooth", arm="direct", conflict="explicit", points=6,
                  slope=make.estimate(1.2, 2.0), verdict="not resolved")  # fmt: skip
    if not make.old:
        slope.p, slope.p_adjusted = 0.12, 0.24
    none = Slope(
        metric="pgr", arm="direct", conflict="none", points=1, slope=make.null("one point"), verdict="undefined"
    )
    return Ladder(points=points, slopes=[slope, none])


def region(make: Maker, name: str, conflict: str) -> RegionMap:
    """600 items."""
    points = []
    for _ in range(600):
        strong = min(0.999, max(0.001, make.rng.gauss(0.72, 0.27)))
        weak = min(0.999, max(0.001, 0.3 * strong + make.rng.gauss(0.36, 0.2)))
        eligible = make.rng.random() < 0.4 + 0.55 * strong
        points.append(
            RegionPoint(weak=weak, strong=strong, eligible=eligible, tax=eligible and make.rng.random() < 0.17)
        )
    return RegionMap(arm=name, conflict=conflict, threshold=0.75, points=points)


def suspicious() -> list[Suspicious]:
    """Twenty-two pairs, the first ones hostile."""
    texts = [HOSTILE, IMAGE, LONG, RTL, ESCAPES, "{{ 7 * 7 }} {% raw %}", ""]
    texts += [f"Human: how do I reset the thermostat, attempt {index}?\n\nAssistant:" for index in range(15)]
    return [
        Suspicious(
            id=f"{index:016x}", arm="direct", conflict="explicit", seed=index % 2, prompt=text,
            preferred=f"Hold the button for ten seconds. {text}", other=f"Throw it away. {text}",
            p_weak=0.41, p_ceiling=0.97, p_reference=0.83, p_student=0.12,
        )
        for index, text in enumerate(texts)
    ]  # fmt: skip


def curves(make: Maker) -> list[Curve]:
    """A few stages, a few hundred steps."""
    names = ["ceiling tiny", "ceiling large", *(f"{a}/{c}" for a in CHAINS for c in CONFLICTS)]
    drawn = []
    for name in names:
        for seed in range(make.seeds):
            steps = list(range(0, 300))
            loss = [0.69 - 0.25 * (s / 300) ** 0.5 + make.rng.uniform(-0.03, 0.03) for s in steps]
            drawn.append(Curve(name=name, seed=seed, step=steps, loss=loss))
    return drawn


def recipe() -> dict[str, Any]:
    """A resolved recipe with traps in it."""
    return {
        "name": "quickstart", "seeds": [0, 1], "models": {"weak": "testbed/tiny", "strong": "testbed/large"},
        "training": {"learning_rate": 1e-6, "epochs": 1, "note": HOSTILE}, "conflict": list(CONFLICTS),
        "labels": {"filter": None, "temperature": "none"},
    }  # fmt: skip


def build(
    *, seeds: int = 2, base: bool = True, with_ladder: bool = True, test_hash: str = "c" * 64, old: bool = False
) -> Results:
    """The whole thing; ``old``: as versions wrote it that had one interval a number, one gate and no controls."""
    make = Maker(seeds, old)
    families = [Family(name="selective students", members=4, resolved=2), Family(name="slopes", members=1, resolved=0)]
    ceilings = {"tiny": make.performance(0.733), "small": make.performance(0.79), "large": make.performance(0.884)}
    split = {name: SplitInfo(objective="harmless", rows=4000, groups=3911, hash="ab" * 32) for name in ("gt", "w2s")}
    split["test"] = SplitInfo(objective="harmless", rows=600, groups=588, hash=test_hash, counts={"truncated": 4})
    model = ModelInfo(path="testbed/tiny", parameters=120_000, hash="ef" * 32)
    other = ModelInfo(path=f"/models/{HOSTILE}/{LONG}", parameters=None, hash="01" * 32, revision="main")
    return Results(
        name=f"quickstart {HOSTILE}", seeds=list(range(seeds)), splits=split, ceilings=ceilings,
        objectives={"target": "harmless", "conflicting": f"helpful {IMAGE}"}, models={"tiny": model, "large": other},
        base=make.performance(0.503) if base else None, arms=[arm(make, name) for name in CHAINS],
        comparisons=comparisons(make), ladder=ladder(make) if with_ladder else None, suspicious=suspicious(),
        region_maps=[region(make, name, conflict) for name in CHAINS for conflict in CONFLICTS[1:]],
        verdict=Verdict(
            headline="Explicit conflict makes the student fail where the weak model cannot see; bootstrapping does not "
            "help",
            sentences=[
                "Direct, explicit: deception score 0.324 against a null share of 0.217, lift 1.62 [1.27, 2.04].",
                "Bootstrapped against direct: the difference in lift is not resolved.",
            ],
        ),
        controls=[] if old else make.controls(), families=[] if old else families,
        warnings=["implicit: conflict tax of 41 items is below 50", f"odd name {ESCAPES}"], curves=curves(make),
        recipe=recipe(), provenance=Provenance(
            command="w2s run recipes/quickstart.yaml", created="2026-01-02T03:04:05Z", seconds=143.2, world_size=1,
            versions={"w2s-pref": "0.1.0", "torch": "2.13.0"}, machine={"cpu": "2 cores", "note": HOSTILE},
            stages={"train/direct/explicit/0": "5e" * 32},
        ),
    )  # fmt: skip
