"""The studies that train more than the grid: what each adds to the laboratory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pandas as pd

from w2s_pref.labels.combine import with_opinion
from w2s_pref.labels.make import LabelConfig
from w2s_pref.stages.labels import LabelStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.answers import Classified, Split
from w2s_pref.studies.generalization.config import (
    Chain,
    EasyConfig,
    NoiseConfig,
    SaliencyConfig,
    StudyConfig,
    TruncatedConfig,
    chain_name,
    frozen,
)
from w2s_pref.studies.generalization.finetune import FinetuneStage
from w2s_pref.studies.generalization.graph import (
    add_cell,
    ceiling,
    entered,
    floor,
    plain_method,
    student,
    student_model,
    student_rows,
    supervisors,
    weak_scores,
)
from w2s_pref.studies.generalization.labels import AlteredLabels
from w2s_pref.studies.generalization.study import Laboratory


def add_studies(lab: Laboratory) -> None:
    """Every study that the recipe names."""
    for name, add in ADD.items():
        study = getattr(lab.recipe.studies, name)
        if study is not None:
            add(lab, study)


def _places(lab: Laboratory, study: StudyConfig) -> Iterator[tuple[str, Chain, str, int]]:
    """(task, direct chain, method, seed) of a study."""
    recipe = lab.recipe
    chains = [frozen(chain) for chain in study.chains] or [chain for chain in recipe.pairs() if len(chain) == 2]
    for task in study.tasks or recipe.tasks:
        for seed in recipe.seeds:
            for chain in chains:
                yield task, chain, study.method or recipe.student_methods[0], seed


def _bootstrapping(lab: Laboratory, study: StudyConfig) -> None:
    """Ladder chains through every model between, beside the direct ones on equal data."""
    ladder = lab.recipe.ladder
    for task, (low, *_, high), method, seed in _places(lab, study):
        if low in ladder and high in ladder and ladder.index(high) > ladder.index(low) + 1:
            through = tuple(ladder[ladder.index(low) : ladder.index(high) + 1])
            for chain in ((low, high), through):
                if lab.recipe.suits(method, chain):
                    add_cell(lab, "bootstrapping", task, chain, method, seed)


def _saliency(lab: Laboratory, study: SaliencyConfig) -> None:
    """How much fine-tuning on weak labels brings what matters to the surface of a representation."""
    for task, chain, _, seed in _places(lab, study):
        names = {
            "probe on weak labels": entered(lab, task, chain, study.probe, seed),
            "probe on truth": ceiling(lab, task, student_model(chain), study.probe, seed),
            "fine-tune on weak labels": entered(lab, task, chain, study.finetune, seed),
            "fine-tune on weak labels, probe on truth": _probe_of_student(lab, study, task, chain, seed),
            "fine-tune on truth": ceiling(lab, task, student_model(chain), study.finetune, seed),
        }
        weak = floor(lab, task, chain[0], study.finetune, seed)
        for bar, name in names.items():
            lab.cell("saliency", task, chain, bar, (weak, name, names["fine-tune on truth"]))


def _probe_of_student(lab: Laboratory, study: SaliencyConfig, task: str, chain: Chain, seed: int) -> str:
    """A probe on ground truth, on the representation of a student that was fine-tuned on weak labels."""
    title = f"student/{chain_name(chain)}@{study.finetune}"
    tuned = student(lab, title, task, chain, study.finetune, seed, keep=True)
    assert isinstance(tuned, FinetuneStage)
    lab.enter(task, title, seed, tuned)  # with its weights kept, in the place of the same training without them
    source = lab.activations(tuned, lab.tasks[task].all, lab.recipe.methods[study.probe].pooling)
    name = f"saliency/{chain_name(chain)}@{study.finetune}+{study.probe}"
    truth = lab.split(task, student_rows(lab, task), "truth")
    return lab.add(name, task, student_model(chain), study.probe, truth, seed, activations=source)


def _noise(lab: Laboratory, study: NoiseConfig) -> None:
    """The supervisor's number of wrong labels in other places: is it the number that matters, or where they are?"""
    for task, chain, method, seed in _places(lab, study):
        rows = student_rows(lab, task)
        weak, best = floor(lab, task, chain[0], method, seed), ceiling(lab, task, student_model(chain), method, seed)
        hard = LabelConfig(form="hard")
        real = _labels(lab, task, chain, method, seed, hard)
        strong = lab.chosen(task, (lab.named[task, best, seed],))
        for structure in study.structures:
            title = f"{structure} errors: {chain_name(chain)} · {task} · seed {seed}"
            scores = strong if structure.startswith("strong") else None
            labels = AlteredLabels(title, "noise", rows, real, scores, None, {"structure": structure}, seed)
            name = f"noise:{structure}/{chain_name(chain)}@{method}"
            split = lab.split(task, rows, labels)
            lab.add(name, task, student_model(chain), method, split, seed)
            lab.cell("noise", task, chain, structure, (weak, name, best))


def _labels(lab: Laboratory, task: str, chain: Chain, method: str, seed: int, config: LabelConfig) -> LabelStage:
    """Labels by the weak end of a chain, without the seeds of an ensemble."""
    models = supervisors(lab, task, chain, 0, method, seed)
    return lab.labels(task, models, config.model_copy(update={"combine": lab.recipe.methods[method].combine}))


def _imitation(lab: Laboratory, study: StudyConfig) -> None:
    """The weak label stands in the input, in training and in the test: copying it is easy, is it what is learned?"""
    for task, chain, method, seed in _places(lab, study):
        weak, best = floor(lab, task, chain[0], method, seed), ceiling(lab, task, student_model(chain), method, seed)
        labels = _labels(lab, task, chain, method, seed, lab.recipe.methods[method].label_config)
        pick = _labels(lab, task, chain, method, seed, LabelConfig(form="hard"))
        name = f"imitation/{chain_name(chain)}@{method}"
        split = lab.split(task, student_rows(lab, task), labels, pick)
        lab.enter(task, name, seed, _told(lab, name, task, student_model(chain), method, split, seed))
        lab.cell("imitation", task, chain, method, (weak, name, best))


def _told(lab: Laboratory, name: str, task: str, model: str, method: str, split: Split, seed: int) -> Classified:
    """The student of the imitation study."""
    config, both = lab.recipe.methods[method], told(lab.tasks[task].all)
    if config.algorithm == "probe":
        source = lab.activations(model, both, config.pooling)
        return lab.classify(name, task, model, method, split, seed, activations=source)
    return lab.classify(name, task, model, method, split, seed, texts=both)


def told(rows: Rows) -> Rows:
    """Every item twice: with each of the two labels that a weak model may give it (ids ``ID|0``, ``ID|1``)."""
    frame, both = rows.frame, []
    for label in (0, 1):
        said = with_opinion(frame, pd.DataFrame({"id": frame["id"], "p": float(label)}))
        both.append(said.assign(id=said["id"] + f"|{label}"))
    return Rows(f"{rows.name}, told", pd.concat(both, ignore_index=True))


def _easy_to_hard(lab: Laboratory, study: EasyConfig) -> None:
    """Ground truth of the items that a small model finds easiest, of as many random ones, and of all."""
    for task, chain, method, seed in _places(lab, study):
        rows, plain = student_rows(lab, task), plain_method(lab, method)
        weak, best = floor(lab, task, chain[0], method, seed), ceiling(lab, task, student_model(chain), method, seed)
        judge = weak_scores(lab, task, chain[0], method, seed)
        rules: dict[str, Literal["easy", "part"]] = {"easy": "easy", "random": "part"}
        for part, rule in rules.items():
            title = f"{part} items: {chain_name(chain)} · {task} · seed {seed}"
            scores = judge if part == "easy" else None
            held_out = lab.tasks[task]["validation"]
            labels = AlteredLabels(title, rule, rows, None, scores, held_out, {"share": study.share}, seed)
            name = f"{part}/{chain_name(chain)}@{plain}"
            split = lab.split(task, rows, labels)
            lab.add(name, task, student_model(chain), plain, split, seed)
            lab.cell("easy_to_hard", task, chain, part, (weak, name, best))


def _truncated(lab: Laboratory, study: TruncatedConfig) -> None:
    """Simulated weak supervisors: probes on the first principal components of the student's own representation."""
    for task, model, method, seed in dict.fromkeys(
        (t, student_model(chain), m, s) for t, chain, m, s in _places(lab, study)
    ):
        plain, best = plain_method(lab, method), ceiling(lab, task, model, method, seed)
        for components in study.components:
            weak = f"floor/{model}:pc{components}@{plain}"
            split = lab.split(task, lab.tasks[task]["gt"], "truth")
            seen = lab.classify(weak, task, model, plain, split, seed, components=components)
            lab.enter(task, weak, seed, seen)
            labels = lab.labels(task, (seen,), lab.recipe.methods[method].label_config)
            name = f"student/{model}:pc{components}>{model}@{method}"
            own = lab.split(task, student_rows(lab, task), labels)
            lab.add(name, task, model, method, own, seed)
            lab.cell("truncated", task, f"{model}:pc{components}>{model}", method, (weak, name, best))


ADD: dict[str, Callable[[Laboratory, Any], None]] = {
    "bootstrapping": _bootstrapping,
    "saliency": _saliency,
    "noise": _noise,
    "imitation": _imitation,
    "easy_to_hard": _easy_to_hard,
    "truncated": _truncated,
}
