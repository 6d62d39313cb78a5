"""Recipe and items → the grid: floors, chains of students under every method, ceilings."""

from __future__ import annotations

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Stage
from w2s_pref.labels.make import LabelConfig
from w2s_pref.stages.labels import LabelStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.answers import Classified
from w2s_pref.studies.generalization.labels import AlteredLabels
from w2s_pref.studies.generalization.recipe import MethodConfig
from w2s_pref.studies.generalization.study import Laboratory

Chain = tuple[str, ...]

#: Distance between the seeds of the supervisors of one ensemble; recipes' own seeds stay far below it.
ENSEMBLE = 10_000


def add_grid(lab: Laboratory) -> None:
    """Every task, chain, method and seed of the recipe."""
    for task in lab.tasks:
        for seed in lab.recipe.seeds:
            for chain in lab.recipe.pairs():
                for method in lab.recipe.student_methods:
                    add_cell(lab, "grid", task, chain, method, seed)


def add_cell(lab: Laboratory, study: str, task: str, chain: Chain, method: str, seed: int) -> None:
    """A student with its floor and its ceiling."""
    weak = floor(lab, task, chain[0], seed)
    best = ceiling(lab, task, chain[-1], method, seed)
    lab.cell(study, task, chain, method, (weak, entered(lab, task, chain, method, seed), best))


def entered(lab: Laboratory, task: str, chain: Chain, method: str, seed: int) -> str:
    """The student of a chain under one method, entered; its name."""
    name = f"student/{'>'.join(chain)}@{method}"
    if (task, name, seed) not in lab.named:
        lab.enter(task, name, seed, student(lab, name, task, chain, method, seed))
    return name


def floor(lab: Laboratory, task: str, model: str, seed: int) -> str:
    """The weak model on ground truth of half A, entered; its name."""
    name = floor_name(lab, model)
    if (task, name, seed) not in lab.named:
        lab.enter(task, name, seed, _floor(lab, task, model, seed))
    return name


def _floor(lab: Laboratory, task: str, model: str, seed: int) -> Classified:
    split = lab.split(task, lab.tasks[task]["gt"], "truth")
    return lab.classify(floor_name(lab, model), task, model, lab.recipe.weak_method, split, seed)


def ceiling(lab: Laboratory, task: str, model: str, method: str, seed: int) -> str:
    """The student's model and method on ground truth, entered; its name. Methods that differ in labels share one."""
    plain = plain_method(lab, method)
    name = f"ceiling/{model}@{plain}"
    if (task, name, seed) not in lab.named:
        rows = lab.tasks[task]["gt"] if lab.recipe.ceiling == "gt" else student_rows(lab, task)
        lab.add(name, task, model, plain, lab.split(task, rows, "truth"), seed)
    return name


def plain_method(lab: Laboratory, method: str) -> str:
    """The first method of the recipe that is the same on ground truth."""
    wanted = lab.recipe.methods[method].on_truth
    return next(name for name, config in lab.recipe.methods.items() if config.on_truth == wanted)


def student_rows(lab: Laboratory, task: str) -> Rows:
    """What the last model of every chain trains on: half B, or its last slice."""
    splits = lab.tasks[task].splits
    return splits[f"w2s/{longest(lab)}"] if lab.recipe.inputs == "split" and longest(lab) > 1 else splits["w2s"]


def longest(lab: Laboratory) -> int:
    """Hops of the longest chain of the recipe, those of its bootstrapping study included."""
    ladder = len(lab.recipe.ladder) - 1 if lab.recipe.studies.bootstrapping is not None else 1
    return max(ladder, *(len(chain) - 1 for chain in lab.recipe.pairs()))


def _hop_rows(lab: Laboratory, task: str, hop: int, hops: int) -> Rows:
    """Items of hop ``hop`` (1 … hops): chains end at the same slice, so that all students see equal data."""
    if lab.recipe.inputs == "split" and longest(lab) > 1:
        return lab.tasks[task][f"w2s/{longest(lab) - hops + hop}"]
    return lab.tasks[task]["w2s"]


def supervisor(lab: Laboratory, task: str, chain: Chain, position: int, seed: int) -> Classified:
    """The model at ``position`` of a chain, trained by the one before it; the first on ground truth."""
    if position == 0:
        return lab.named.get((task, floor_name(lab, chain[0]), seed)) or _floor(lab, task, chain[0], seed)
    above = supervisor(lab, task, chain, position - 1, seed)
    labels = lab.labels((above,), LabelConfig())
    split = lab.split(task, _hop_rows(lab, task, position, len(chain) - 1), labels)
    title = f"student/{'>'.join(chain[: position + 1])}@{lab.recipe.weak_method}"
    return lab.classify(title, task, chain[position], lab.recipe.weak_method, split, seed)


def floor_name(lab: Laboratory, model: str) -> str:
    """The weak model's name in the tables."""
    return f"floor/{model}@{lab.recipe.weak_method}"


def weak_labels(lab: Laboratory, task: str, chain: Chain, config: MethodConfig, seed: int) -> LabelStage:
    """The labels a student of the chain gets before anything is done to them."""
    seeds = [seed + ENSEMBLE * number for number in range(config.ensemble)]
    above = tuple(supervisor(lab, task, chain, len(chain) - 2, each) for each in seeds)
    return lab.labels(above, config.label_config)


def student(lab: Laboratory, title: str, task: str, chain: Chain, method: str, seed: int) -> Classified:
    """The last model of a chain under one method."""
    config, rows = lab.recipe.methods[method], student_rows(lab, task)
    said = weak_labels(lab, task, chain, config, seed)
    labels: Stage = said
    if config.ensemble > 1:
        lab.pooled[task, title, seed] = said
    model = chain[-1]
    if config.two_stage:
        first = lab.classify(f"first {title}", task, model, method, lab.split(task, rows, labels), seed)
        scores, settings = lab.chosen((first,)), {"threshold": config.threshold, "form": config.labels}
        labels = AlteredLabels(
            f"second labels: {title} · {task} · seed {seed}", "two_stage", rows, labels, scores, None, settings
        )
    if config.ground_truth:
        if config.ground_truth > len(rows):
            raise W2SError(
                f"methods.{method}.ground_truth: {config.ground_truth} of {len(rows)} items of {task}; use fewer"
            )
        settings = {"items": config.ground_truth}
        labels = AlteredLabels(
            f"some true labels: {title} · {task} · seed {seed}", "budget", rows, labels, None, None, settings, seed
        )
    return lab.classify(title, task, model, method, lab.split(task, rows, labels), seed)
