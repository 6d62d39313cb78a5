"""Over tasks: medians of the grid, selections, bars, thirds by difficulty, contrasts, trends with size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import log10
from typing import Any

import numpy as np

from w2s_pref.analysis.lab.cells import NO_NUMBER, ROLES, Case, estimate, mean, median, slope
from w2s_pref.analysis.preferences.generalization_measures import not_narrower
from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.losses.spec import LossSpec
from w2s_pref.results.lab import Bar, Contrast, Difficulty, Median, Selection, Trend

#: Parts of the test items by difficulty, of equal size.
PARTS = 3
#: Studies whose cells are variants side by side, and the variant that the others are compared with.
VARIANTS: dict[str, str | None] = {
    "saliency": "probe on weak labels",
    "noise": "supervisor",
    "imitation": None,
    "easy_to_hard": "random",
    "truncated": None,
}


def together(cases: Sequence[Case], *keys: str) -> Iterator[tuple[tuple[str, ...], list[Case]]]:
    """Cases that agree in ``keys``, in the order of their first appearance."""
    groups: dict[tuple[str, ...], list[Case]] = {}
    for case in cases:
        groups.setdefault(tuple(getattr(case, key) for key in keys), []).append(case)
    yield from groups.items()


def _accuracy(cases: Sequence[Case], role: str) -> Stat:
    return mean([case.accuracy(role) for case in cases])


def medians(cases: Sequence[Case]) -> list[Median]:
    """Median PGR over the tasks with a gap, and mean accuracies over all tasks, of every chain and method."""
    found = []
    for (study, chain, method), group in together(cases, "study", "chain", "method"):
        with_gap = [case.pgr.stat for case in group if case.pgr.note is None]
        areas = [case.pgr_auroc for case in group]
        found.append(
            Median(
                study=study,
                chain=chain,
                method=method,
                pgr=estimate(not_narrower(median(with_gap))),
                pgr_auroc=estimate(not_narrower(median([area for area in areas if area is not None]))),
                accuracy={role: estimate(_accuracy(group, role)) for role in ROLES},
                tasks=len(group),
                without_gap=len(group) - len(with_gap),
            )
        )
    return found


def selections(cases: Sequence[Case]) -> list[Selection]:
    """What picking a checkpoint by weak-label agreement brings, and what an oracle would."""
    found = []
    for (chain, method), group in together(cases, "chain", "method"):
        group = [case for case in group if f"{case.student}#best_truth" in case.answers]
        if not group:
            continue
        final, best_weak, best_truth = (
            mean([case.answers.accuracy(f"{case.student}#{name}") for case in group])
            for name in ("final", "best_weak", "best_truth")
        )
        found.append(
            Selection(
                chain=chain,
                method=method,
                tasks=len(group),
                final=estimate(final),
                best_weak=estimate(best_weak),
                oracle_best_truth=estimate(best_truth),
                gained=estimate(best_weak - final),
                lost_to_oracle=estimate(best_truth - best_weak),
            )
        )
    return found


def bars(cases: Sequence[Case]) -> list[Bar]:
    """Variants of a study side by side: accuracy, agreement with the weak model, difference to the reference."""
    found = []
    shown = [case for case in [*_plain_inputs(cases), *cases] if case.study in VARIANTS]
    for (study, chain), group in together(shown, "study", "chain"):
        variants = {name: each for (name,), each in together(group, "method")}
        usual = VARIANTS[study]
        reference = usual if usual in variants else next(iter(variants))
        base = _accuracy(variants[reference], "student")
        for name, each in variants.items():
            own = _accuracy(each, "student")
            same_tasks = [case.task for case in each] == [case.task for case in variants[reference]]
            comparable = name != reference and same_tasks
            found.append(
                Bar(
                    study=study,
                    chain=chain,
                    variant=name,
                    tasks=len(each),
                    weak=estimate(_accuracy(each, "weak")),
                    accuracy=estimate(own),
                    ceiling=estimate(_accuracy(each, "ceiling")),
                    agreement=estimate(mean([case.agreement()["overall"] for case in each])),
                    over=reference if name != reference else None,
                    difference=estimate(own - base) if comparable else NO_NUMBER,
                )
            )
    return found


def _plain_inputs(cases: Sequence[Case]) -> list[Case]:
    """The grid's students that the imitation study's are compared with: the same, but nobody tells them the label."""
    grid = {(case.task, case.chain, case.method): case for case in cases if case.study == "grid"}
    told = [(case.task, case.chain, case.method) for case in cases if case.study == "imitation"]
    return [replace(grid[key], study="imitation", method=f"{key[2]}, label not told") for key in told if key in grid]


def difficulties(cases: Sequence[Case], settings: Mapping[str, Any]) -> list[Difficulty]:
    """The variants of the easy-to-hard study, and the ceiling that learned all items, part by part.

    A ceiling of half A has not learned the variants' items but those of the weak model, and is called so.
    """
    found, whole = [], "half A" if settings.get("ceiling") == "gt" else "all items"
    for (chain,), group in together([case for case in cases if case.study == "easy_to_hard"], "chain"):
        variants = {method: (each, "student") for (method,), each in together(group, "method")}
        first = next(iter(variants.values()))[0]
        for variant, (each, role) in {**variants, whole: (first, "ceiling")}.items():
            thirds = [estimate(mean([_on_part(case, role, part) for case in each])) for part in range(PARTS)]
            found.append(Difficulty(chain=chain, variant=variant, tasks=len(each), thirds=thirds))
    return found


def _on_part(case: Case, role: str, part: int) -> Stat:
    """Accuracy on the test items that the weak model finds easiest (part 0), middling or hardest."""
    inside = (parts(case.answers.delta(case.weak)) == part).astype(np.float64)
    return case.answers.draw.mean(case.answers.credit(getattr(case, role)), inside)


def parts(delta: Floats) -> Ints:
    """(K, N) the part of every item under every seed: 0 where the weak model favours the true answer most.

    That is the order by which the study picks its easy items: confident errors are the hardest items.
    """
    rank = np.argsort(np.argsort(-delta, axis=1, kind="stable"), axis=1)
    return np.asarray(rank * PARTS // delta.shape[1], dtype=np.int64)


def contrasts(cases: Sequence[Case], settings: Mapping[str, Any]) -> list[Contrast]:
    """Every method against the first of its algorithm, chain by chain; bootstrapped chains against direct."""
    found = []
    for _, group in together([case for case in cases if case.study == "grid"], "chain"):
        methods = {name: each for (name,), each in together(group, "method")}
        for name, each in methods.items():
            plain = _plain(name, list(methods), settings)
            if plain is not None:
                found.append(_contrast("confidence", plain, each, methods[plain], settings))
    for _, group in together([case for case in cases if case.study == "bootstrapping"], "method"):
        chains = {name: each for (name,), each in together(group, "chain")}
        for chain, each in chains.items():
            models = chain.split(">")
            direct = f"{models[0]}>{models[-1]}"
            if len(models) > 2 and direct in chains:
                found.append(_contrast("bootstrapping", direct, each, chains[direct], settings))
    return found


def _plain(name: str, methods: list[str], settings: Mapping[str, Any]) -> str | None:
    """The first method of the same algorithm whose loss is plain cross-entropy, or that has none; None for that one."""
    same = [each for each in methods if settings["methods"][each] == settings["methods"][name]]
    first = next((each for each in same if settings["losses"][each] == LossSpec().name), None)
    return None if first == name else first


def _contrast(
    study: str, against: str, own: Sequence[Case], other: Sequence[Case], settings: Mapping[str, Any]
) -> Contrast:
    """The students of ``own`` (one chain and method) minus those of ``other``, task by task."""
    pairs = [(a, b) for a in own for b in other if a.task == b.task]
    return Contrast(
        study=study,
        chain=own[0].chain,
        method=own[0].method,
        against=against,
        tasks=len({a.task for a, _ in pairs}),
        difference=estimate(mean([a.accuracy("student") - b.accuracy("student") for a, b in pairs])),
        strong_parameters=settings["models"].get(own[0].chain.rpartition(">")[2]),
    )


def trends(cases: Sequence[Case], settings: Mapping[str, Any]) -> list[Trend]:
    """Do larger students copy fewer of their supervisor's errors? Shares over the student's size, weak by weak."""
    grid = [case for case in cases if case.study == "grid" and case.chain.count(">") == 1]
    pairs = dict.fromkeys((case.chain.partition(">")[0], case.method) for case in grid)
    found = []
    for weak, method in pairs:
        own = [case for case in grid if (case.chain.partition(">")[0], case.method) == (weak, method)]
        chains = {name: each for (name,), each in together(own, "chain")}
        sizes = {chain: settings["models"].get(chain.rpartition(">")[2]) for chain in chains}
        known = sorted((size, chain) for chain, size in sizes.items() if size)
        if len({size for size, _ in known}) < 2:
            continue
        for quantity in ("inherited", "corrected", "new_errors"):
            values = [_mean_inheritance(chains[chain], quantity) for _, chain in known]
            found.append(
                Trend(
                    weak=weak,
                    method=method,
                    quantity=quantity,
                    sizes=[size for size, _ in known],
                    values=[estimate(each) for each in values],
                    slope=estimate(slope([log10(size) for size, _ in known], values)),
                )
            )
    return found


def _mean_inheritance(cases: Sequence[Case], quantity: str) -> Stat:
    """Mean over the tasks on which the share is defined."""
    shares = [case.inheritance()[quantity] for case in cases]
    return mean([share for share in shares if number(share.value) is not None])
