"""Recipe and items → the grid: floors, chains of students under every method, ceilings."""

from __future__ import annotations

from w2s_pref.core.errors import W2SError
from w2s_pref.core.references import short_name
from w2s_pref.engine.stage import Stage
from w2s_pref.labels.make import LABELERS, LabelConfig
from w2s_pref.stages.labels import LabelStage
from w2s_pref.stages.members import MemberLabels, Raven
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.answers import Classified
from w2s_pref.studies.generalization.config import Chain, chain_name, members
from w2s_pref.studies.generalization.labels import AlteredLabels, ChosenStage
from w2s_pref.studies.generalization.study import Laboratory
from w2s_pref.studies.recipe import check_different

#: Distance between the seeds of the supervisors of one ensemble; recipes' own seeds stay far below it.
ENSEMBLE = 10_000


def add_grid(lab: Laboratory) -> None:
    """Every task, chain, method and seed of the recipe; weights over supervisors where a chain has several."""
    for task in lab.tasks:
        for seed in lab.recipe.seeds:
            for chain in lab.recipe.pairs():
                for method in lab.recipe.student_methods:
                    if lab.recipe.suits(method, chain):
                        add_cell(lab, "grid", task, chain, method, seed)


def add_cell(lab: Laboratory, study: str, task: str, chain: Chain, method: str, seed: int) -> None:
    """A student with its floor and its ceiling."""
    weak = floor(lab, task, chain[0], method, seed)
    best = ceiling(lab, task, student_model(chain), method, seed)
    lab.cell(study, task, chain, method, (weak, entered(lab, task, chain, method, seed), best))


def entered(lab: Laboratory, task: str, chain: Chain, method: str, seed: int) -> str:
    """The student of a chain under one method, entered; its name."""
    name = f"student/{chain_name(chain)}@{method}"
    if (task, name, seed) not in lab.named:
        lab.enter(task, name, seed, student(lab, name, task, chain, method, seed))
    return name


def student_model(chain: Chain) -> str:
    """The last model of a chain, which is one."""
    (model,) = members(chain[-1])
    return model


def floor(lab: Laboratory, task: str, place: str | tuple[str, ...], method: str, seed: int) -> str:
    """The weak model on ground truth of half A, entered; its name. Of several: each, and what they answer together.

    Args:
        method: the student's, which says how several are combined.
    """
    for model in members(place):
        name = floor_name(lab, model)
        if (task, name, seed) not in lab.named:
            lab.enter(task, name, seed, _floor(lab, task, model, seed))
    if isinstance(place, tuple):
        how = lab.recipe.methods[method].combine
        name = floor_name(lab, f"{short_name(how)}({', '.join(place)})")
        lab.floors[task, name, seed] = weak_scores(lab, task, place, method, seed)
    return name


def weak_scores(lab: Laboratory, task: str, place: str | tuple[str, ...], method: str, seed: int) -> ChosenStage:
    """What the models of a chain's first place answer, together where they are several."""
    models = supervisors(lab, task, (place,), 0, method, seed)
    return lab.chosen(task, models, lab.recipe.methods[method].combine)


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


def supervisors(
    lab: Laboratory, task: str, chain: Chain, position: int, method: str, seed: int
) -> tuple[Classified, ...]:
    """The models at ``position`` of a chain, trained by those before them; the first ones on ground truth.

    Args:
        method: the last model's, which says how several are combined.
    """
    names = members(chain[position])
    if position == 0:
        made = [lab.named.get((task, floor_name(lab, n), seed)) or _floor(lab, task, n, seed) for n in names]
    else:
        above = supervisors(lab, task, chain, position - 1, method, seed)
        labels = lab.labels(task, above, LabelConfig(combine=lab.recipe.methods[method].combine))
        split = lab.split(task, _hop_rows(lab, task, position, len(chain) - 1), labels)
        weak = lab.recipe.weak_method
        titles = [f"student/{chain_name((*chain[:position], name))}@{weak}" for name in names]
        made = [lab.classify(title, task, n, weak, split, seed) for title, n in zip(titles, names, strict=True)]
    check_different(names, [each.key for each in made], chain_name([chain[position]]), "chains")
    return tuple(made)


def floor_name(lab: Laboratory, model: str) -> str:
    """The weak model's name in the tables."""
    return f"floor/{model}@{lab.recipe.weak_method}"


def weak_labels(lab: Laboratory, task: str, chain: Chain, method: str, seed: int) -> LabelStage:
    """The labels a student of the chain gets before anything is done to them."""
    config = lab.recipe.methods[method]
    seeds = [seed + ENSEMBLE * number for number in range(config.ensemble)]
    above = [each for one in seeds for each in supervisors(lab, task, chain, len(chain) - 2, method, one)]
    return lab.labels(task, tuple(above), config.label_config)


def student(
    lab: Laboratory, title: str, task: str, chain: Chain, method: str, seed: int, keep: bool = False
) -> Classified:
    """The last model of a chain under one method; ``keep``: a fine-tuned one's weights stay for who reads them."""
    config, rows = lab.recipe.methods[method], student_rows(lab, task)
    said = weak_labels(lab, task, chain, method, seed)
    labels: Stage = said
    if config.ensemble > 1 or isinstance(chain[-2], tuple):
        lab.pooled[task, title, seed] = said
    model = student_model(chain)
    if config.two_stage:
        first = lab.classify(f"first {title}", task, model, method, lab.split(task, rows, labels), seed)
        code = LABELERS.code(config.labels, lab.base)
        settings = {"threshold": config.threshold, "form": config.labels, **({"code": code} if code else {})}
        scores = lab.chosen(task, (first,))
        labels = AlteredLabels(
            f"second labels: {title} · {task} · seed {seed}", "two_stage", rows, labels, scores, None, settings
        )
    if config.ground_truth:
        if config.ground_truth > len(rows):
            raise W2SError(
                f"methods.{method}.ground_truth: {config.ground_truth} of {len(rows)} items of {task}; use fewer"
            )
        some, about = {"items": config.ground_truth}, f"some true labels: {title} · {task} · seed {seed}"
        labels = AlteredLabels(about, "budget", rows, labels, None, None, some, seed)
    split = lab.split(task, rows, labels, raven=learned(lab, said, method))
    return lab.classify(title, task, model, method, split, seed, **({"keep": True} if keep else {}))


def learned(lab: Laboratory, said: LabelStage, method: str) -> Raven | None:
    """How a student weighs the supervisors behind its labels; None where their combination says it."""
    config = lab.recipe.methods[method].raven
    if config is None:
        return None
    assert isinstance(said.scores, ChosenStage)
    return Raven(MemberLabels(f"each of {said.scores.name}", said.scores), config.rate, config.easy)
