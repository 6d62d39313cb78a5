"""Over tasks: medians of the grid, selections, bars, thirds by difficulty, contrasts, trends with size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import log10
from typing import Any

import numpy as np

from w2s_pref.analysis.lab.answers import Answers, estimate, mean, median, slope
from w2s_pref.analysis.lab.cells import ROLES, area_gap
from w2s_pref.analysis.preferences.generalization import Recovered, inheritance, recovered
from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.bootstrap import Stat
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.losses.spec import LossSpec
from w2s_pref.results.lab import Bar, Contrast, Difficulty, Estimate, Median, Selection, Trend

Entry = dict[str, Any]
Tasks = dict[str, Answers]

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


def together(entries: Sequence[Entry], *keys: str) -> Iterator[tuple[tuple[str, ...], list[Entry]]]:
    """Entries that agree in ``keys``, in the order of their first appearance."""
    order = list(dict.fromkeys(tuple(entry[key] for key in keys) for entry in entries))
    ordered = sorted(entries, key=lambda entry: order.index(tuple(entry[key] for key in keys)))
    for value, group in groupby(ordered, key=lambda entry: tuple(entry[key] for key in keys)):
        yield value, list(group)


def medians(tasks: Tasks, entries: Sequence[Entry]) -> list[Median]:
    """Median PGR over the tasks with a gap, and mean accuracies over all tasks, of every chain and method."""
    found = []
    for (study, chain, method), group in together(entries, "study", "chain", "method"):
        recoveries = [_recovered(tasks[entry["task"]], entry) for entry in group]
        areas = [area_gap({role: tasks[entry["task"]].auroc(entry[role]) for role in ROLES}) for entry in group]
        with_gap = [each.stat for each in recoveries if each.note is None]
        accuracy = {role: estimate(mean([tasks[e["task"]].accuracy(e[role]) for e in group])) for role in ROLES}
        found.append(
            Median(
                study=study,
                chain=chain,
                method=method,
                pgr=estimate(median(with_gap)),
                pgr_auroc=estimate(median([area for area in areas if area is not None])),
                accuracy=accuracy,
                tasks=len(group),
                without_gap=len(group) - len(with_gap),
            )
        )
    return found


def _recovered(answers: Answers, entry: Entry) -> Recovered:
    weak, student, ceiling = (answers.credit(entry[role]) for role in ROLES)
    return recovered(weak, student, ceiling, answers.draw)


def selections(tasks: Tasks, entries: Sequence[Entry]) -> list[Selection]:
    """What picking a checkpoint by weak-label agreement brings, and what an oracle would."""
    found = []
    for (chain, method), group in together(entries, "chain", "method"):
        group = [entry for entry in group if f"{entry['student']}#best_truth" in tasks[entry["task"]]]
        if not group:
            continue
        picked = {
            name: mean([tasks[entry["task"]].accuracy(f"{entry['student']}#{name}") for entry in group])
            for name in ("final", "best_weak", "best_truth")
        }
        found.append(
            Selection(
                chain=chain,
                method=method,
                tasks=len(group),
                final=estimate(picked["final"]),
                best_weak=estimate(picked["best_weak"]),
                oracle_best_truth=estimate(picked["best_truth"]),
                gained=estimate(picked["best_weak"] - picked["final"]),
                lost_to_oracle=estimate(picked["best_weak"] - picked["best_truth"]),
            )
        )
    return found


def bars(tasks: Tasks, entries: Sequence[Entry]) -> list[Bar]:
    """Variants of a study side by side: accuracy, agreement with the weak model, difference to the reference."""
    found = []
    shown = [entry for entry in [*_plain_inputs(entries), *entries] if entry["study"] in VARIANTS]
    for (study, chain), group in together(shown, "study", "chain"):
        variants = {name[0]: each for name, each in together(group, "method")}
        usual = VARIANTS[study]
        reference = usual if usual in variants else next(iter(variants))
        base = _accuracies(tasks, variants[reference])
        for name, each in variants.items():
            own = _accuracies(tasks, each)
            same_tasks = [entry["task"] for entry in each] == [entry["task"] for entry in variants[reference]]
            other = name != reference and same_tasks
            found.append(
                Bar(
                    study=study,
                    chain=chain,
                    variant=name,
                    tasks=len(each),
                    weak=estimate(mean([tasks[entry["task"]].accuracy(entry["weak"]) for entry in each])),
                    accuracy=estimate(own),
                    ceiling=estimate(mean([tasks[entry["task"]].accuracy(entry["ceiling"]) for entry in each])),
                    agreement=estimate(_agreement(tasks, each)),
                    over=reference if other else None,
                    difference=estimate(own - base) if other else Estimate(estimate=None),
                )
            )
    return found


def _plain_inputs(entries: Sequence[Entry]) -> list[Entry]:
    """The grid's students that the imitation study's are compared with: the same, but nobody tells them the label."""
    grid = {(e["task"], e["chain"], e["method"]): e for e in entries if e["study"] == "grid"}
    told = [(e["task"], e["chain"], e["method"]) for e in entries if e["study"] == "imitation"]
    return [{**grid[key], "study": "imitation", "method": f"{key[2]}, label not told"} for key in told if key in grid]


def _accuracies(tasks: Tasks, entries: Sequence[Entry]) -> Stat:
    return mean([tasks[entry["task"]].accuracy(entry["student"]) for entry in entries])


def _agreement(tasks: Tasks, entries: Sequence[Entry]) -> Stat:
    found = []
    for entry in entries:
        answers = tasks[entry["task"]]
        weak, student = answers.credit(entry["weak"]), answers.credit(entry["student"])
        found.append(answers.draw.mean(weak * student + (1 - weak) * (1 - student)))
    return mean(found)


def difficulties(tasks: Tasks, entries: Sequence[Entry]) -> list[Difficulty]:
    """The variants of the easy-to-hard study, and the ceiling that learned all items, part by part."""
    found = []
    own = [entry for entry in entries if entry["study"] == "easy_to_hard"]
    for (chain,), group in together(own, "chain"):
        names = {method: (each, "student") for (method,), each in together(group, "method")}
        first = next(iter(names.values()))[0]
        for variant, (each, role) in {**names, "all items": (first, "ceiling")}.items():
            thirds = [
                estimate(mean([_on_part(tasks[entry["task"]], entry[role], entry["weak"], part) for entry in each]))
                for part in range(PARTS)
            ]
            found.append(Difficulty(chain=chain, variant=variant, tasks=len(each), thirds=thirds))
    return found


def _on_part(answers: Answers, name: str, weak: str, part: int) -> Stat:
    """Accuracy on the test items that the weak model finds easiest (part 0), middling or hardest."""
    return answers.draw.mean(answers.credit(name), (parts(answers.delta(weak)) == part).astype(np.float64))


def parts(delta: Floats) -> Ints:
    """(K, N) the part of every item under every seed: 0 where the weak model favours the true answer most.

    That is the order by which the study picks its easy items: confident errors are the hardest items.
    """
    rank = np.argsort(np.argsort(-delta, axis=1, kind="stable"), axis=1)
    return np.asarray(rank * PARTS // delta.shape[1], dtype=np.int64)


def contrasts(tasks: Tasks, entries: Sequence[Entry], settings: dict[str, Any]) -> list[Contrast]:
    """Every method against the first with plain cross-entropy, chain by chain; bootstrapped chains against direct."""
    grid = [entry for entry in entries if entry["study"] == "grid"]
    found = _losses(tasks, grid, settings)
    for (_, method), group in together([e for e in entries if e["study"] == "bootstrapping"], "study", "method"):
        chains = {name[0]: each for name, each in together(group, "chain")}
        for chain, each in chains.items():
            models = chain.split(">")
            direct = f"{models[0]}>{models[-1]}"
            if len(models) > 2 and direct in chains:
                found.append(_contrast(tasks, "bootstrapping", chain, method, direct, each, chains[direct], settings))
    return found


def _losses(tasks: Tasks, grid: Sequence[Entry], settings: dict[str, Any]) -> list[Contrast]:
    found = []
    for (chain,), group in together(grid, "chain"):
        methods = {name[0]: each for name, each in together(group, "method")}
        for name, each in methods.items():
            plain = _plain(name, list(methods), settings)
            if plain is not None:
                found.append(_contrast(tasks, "confidence", chain, name, plain, each, methods[plain], settings))
    return found


def _plain(name: str, methods: list[str], settings: dict[str, Any]) -> str | None:
    """The method of the same algorithm with plain cross-entropy, None for that one itself."""
    same = [each for each in methods if settings["methods"][each] == settings["methods"][name]]
    first = next((each for each in same if settings["losses"][each] == LossSpec().name), None)
    return None if first == name else first


def _contrast(
    tasks: Tasks,
    study: str,
    chain: str,
    method: str,
    against: str,
    own: Sequence[Entry],
    other: Sequence[Entry],
    settings: dict[str, Any],
) -> Contrast:
    shared = {entry["task"] for entry in own} & {entry["task"] for entry in other}
    difference = mean(
        [
            tasks[a["task"]].accuracy(a["student"]) - tasks[a["task"]].accuracy(b["student"])
            for a in own
            for b in other
            if a["task"] == b["task"]
        ]
    )
    size = settings["models"].get(chain.rpartition(">")[2])
    return Contrast(
        study=study,
        chain=chain,
        method=method,
        against=against,
        tasks=len(shared),
        difference=estimate(difference),
        strong_parameters=size,
    )


def trends(tasks: Tasks, entries: Sequence[Entry], settings: dict[str, Any]) -> list[Trend]:
    """Do larger students copy fewer of their supervisor's errors? Shares over the student's size, weak by weak."""
    grid = [entry for entry in entries if entry["study"] == "grid" and entry["chain"].count(">") == 1]
    found = []
    for (_, method), group in together([{**e, "low": e["chain"].split(">")[0]} for e in grid], "low", "method"):
        chains = {name[0]: each for name, each in together(group, "chain")}
        sizes = {chain: settings["models"].get(chain.rpartition(">")[2]) for chain in chains}
        known = sorted((size, chain) for chain, size in sizes.items() if size)
        if len({size for size, _ in known}) < 2:
            continue
        for quantity in ("inherited", "corrected", "new_errors"):
            values = [_share(tasks, chains[chain], quantity) for _, chain in known]
            found.append(
                Trend(
                    weak=group[0]["chain"].split(">")[0],
                    method=method,
                    quantity=quantity,
                    sizes=[size for size, _ in known],
                    values=[estimate(each) for each in values],
                    slope=estimate(slope([log10(size) for size, _ in known], values)),
                )
            )
    return found


def _share(tasks: Tasks, entries: Sequence[Entry], quantity: str) -> Stat:
    found = []
    for entry in entries:
        answers = tasks[entry["task"]]
        stats = inheritance(answers.credit(entry["weak"]), answers.credit(entry["student"]), answers.draw)
        if number(stats[quantity].value) is not None:
            found.append(stats[quantity])
    return mean(found)
