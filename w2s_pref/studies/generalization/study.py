"""The laboratory as a graph: every classifier by task, name and seed, and the cells that compare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Stage, ordered
from w2s_pref.labels.make import LabelConfig
from w2s_pref.labels.supervisors import COMBINATIONS, reads_accuracy
from w2s_pref.models.info import ModelFacts
from w2s_pref.stages.labels import LabelStage, Part, Scored
from w2s_pref.stages.members import Raven
from w2s_pref.stages.model_stage import StartStage, check_language_model, check_texts_first
from w2s_pref.stages.policies import PairPolicyStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.analyze import FinishStage
from w2s_pref.studies.generalization.answers import Classified, Labels, Split
from w2s_pref.studies.generalization.config import Chain, MethodConfig, PreConfig, chain_name
from w2s_pref.studies.generalization.finetune import FinetuneStage, PromptStage
from w2s_pref.studies.generalization.labels import ChosenStage
from w2s_pref.studies.generalization.probes import ActivationStage, Pooling, ProbeStage
from w2s_pref.studies.generalization.recipe import Recipe
from w2s_pref.training.arguments import keyed, merged, only
from w2s_pref.training.probe_settings import ProbeSettings

#: Splits that every classifier answers.
ANSWERED = ("w2s", "validation", "test", "calibration")


@dataclass(frozen=True)
class TaskRows:
    """The items of one task by split: gt, w2s, validation, test, calibration, slices of w2s where chains split it."""

    name: str
    splits: Mapping[str, Rows]

    def __getitem__(self, split: str) -> Rows:
        return self.splits[split]

    @cached_property
    def all(self) -> Rows:
        """Every item: what activations are computed of, once."""
        return self._union(self.name, "gt", *ANSWERED)

    @cached_property
    def answered(self) -> Rows:
        """What every classifier answers: all but half A."""
        return self._union(f"{self.name} but gt", *ANSWERED)

    @property
    def every(self) -> list[Rows]:
        """All sets of items that stages read."""
        return [*self.splits.values(), self.all, self.answered]

    def _union(self, name: str, *splits: str) -> Rows:
        frames = [self[split].frame for split in splits if split in self.splits]
        return Rows(name, pd.concat(frames, ignore_index=True))


@dataclass
class Laboratory:
    """What is trained (``named``), and which of it is compared with what (``cells``).

    ``pooled`` are the labels that several supervisors give together, by the student that learns them; ``floors`` what
    several models in the first place of a chain answer together, by the name that it has in the tables.
    """

    recipe: Recipe
    base: Path
    models: dict[str, ModelFacts]
    tasks: dict[str, TaskRows]
    named: dict[tuple[str, str, int], Classified] = field(default_factory=dict)
    cells: list[dict[str, str]] = field(default_factory=list)
    batches: dict[str, list[ProbeStage]] = field(default_factory=dict)
    pooled: dict[tuple[str, str, int], LabelStage] = field(default_factory=dict)
    floors: dict[tuple[str, str, int], Scored] = field(default_factory=dict)

    @property
    def rows(self) -> dict[str, Rows]:
        """Splits by the names that the plan shows."""
        return {f"{task}.{name}": rows for task, each in self.tasks.items() for name, rows in each.splits.items()}

    @property
    def tokens(self) -> dict[str, Any]:
        """Token limits of every stage."""
        return {"max_length": self.recipe.max_length, "overlong": "truncate"}

    def enter(self, task: str, name: str, seed: int, stage: Classified) -> str:
        """Give a classifier the name it has in the tables; returns the name."""
        self.named[task, name, seed] = stage
        return name

    def add(self, name: str, task: str, model: str, method: str, split: Split, seed: int, **more: Any) -> str:
        """A classifier (see ``classify``) under its own name; returns the name."""
        return self.enter(task, name, seed, self.classify(name, task, model, method, split, seed, **more))

    def cell(self, study: str, task: str, chain: Chain | str, method: str, names: tuple[str, str, str]) -> None:
        """One comparison: names of the weak model, the student and the ceiling. Entered once for all seeds."""
        text = chain if isinstance(chain, str) else chain_name(chain)
        weak, student, ceiling = names
        entry = {"study": study, "task": task, "chain": text, "method": method}
        entry |= {"weak": weak, "student": student, "ceiling": ceiling}
        if entry not in self.cells:
            self.cells.append(entry)

    def activations(self, model: str | FinetuneStage, rows: Rows, pooling: Pooling | None) -> ActivationStage:
        """What a frozen model says of every item."""
        source = self.models[model] if isinstance(model, str) else model
        name = model if isinstance(model, str) else f"{model.name},"
        return ActivationStage(f"{name} on {rows.name}", source, rows, pooling, self.tokens)

    def classify(
        self, title: str, task: str, model: str, method: str, split: Split, seed: int, **more: Any
    ) -> Classified:
        """The stage that makes a classifier of ``model`` by the recipe's method, and answers every item.

        ``more``: ``activations`` (other than the task's own) and ``components`` of a probe, ``keep`` and ``texts`` of a
        fine-tuning.
        """
        config = self.recipe.methods[method]
        if split.labels == "truth":
            config = config.on_truth
        title, on, facts = f"{title} · {task} · seed {seed}", self.tasks[task].answered, self.models[model]
        if config.algorithm == "probe":
            source = more.pop("activations", None) or self.activations(model, self.tasks[task].all, config.pooling)
            settings = {
                **ProbeSettings.model_validate(config.training).model_dump(),
                "loss": config.loss.keyed(self.base),
            }
            probe = ProbeStage(title, on, split, facts, seed, settings, source, **more, batches=self.batches)
            self.batches.setdefault(probe.together, []).append(probe)
            return probe
        if config.algorithm == "prompt":
            return self._prompt(title, on, split, facts, seed, config)
        return self._finetune(title, model, config, split, on, seed, **more)

    def _finetune(
        self, title: str, model: str, config: MethodConfig, split: Split, on: Rows, seed: int, **more: Any
    ) -> FinetuneStage:
        facts = self.models[model]
        arguments = merged(FINETUNE, self.recipe.training, facts.spec.training, config.training)
        pre = self._texts_first(f"texts before {title}", facts, config.pre, split.train, seed) if config.pre else None
        return FinetuneStage(
            title, on, split, facts, seed, keyed(arguments), config.head, config.loss.keyed(self.base), arguments,
            self.tokens, pre, patience=config.patience, **more,
        )  # fmt: skip

    def _texts_first(self, title: str, facts: ModelFacts, pre: PreConfig, train: Rows, seed: int) -> PairPolicyStage:
        """Language modelling on the items' texts: the policies' fine-tuning on "preferred answers", which all are."""
        check_texts_first(facts, f"{title}: pre")
        layers = (self.recipe.training, facts.spec.training, pre.training)
        arguments = merged(*(only(layer, "dpo") for layer in layers))
        frame = train.frame.assign(form="text", prompt="", a=train.frame["prompt"], b=".", truth=1)
        part = Part(Rows(f"texts of {train.name}", frame), "truth")
        start = StartStage(f"{facts.spec.path} as it is", facts, seed)
        return PairPolicyStage(
            title, start, None, seed, arguments, keyed(arguments), self.tokens, (part,), (), {"name": "sft"}
        )

    def _prompt(
        self, title: str, on: Rows, split: Split, facts: ModelFacts, seed: int, config: MethodConfig
    ) -> PromptStage:
        check_language_model(facts)
        if config.shots > len(split.train):
            raise W2SError(f"{title}: shots is {config.shots}, but there are {len(split.train)} labelled items")
        return PromptStage(title, on, split, facts, seed, {"shots": config.shots}, self.tokens)

    def chosen(self, task: str, models: tuple[Classified, ...], combine: str = "mean") -> ChosenStage:
        """Scores of the supervisors' selected checkpoints, of several their combination.

        Raises:
            W2SError: the combination goes by held-out ground truth, and there is none.
        """
        first, held = models[0], None
        if len(models) > 1 and reads_accuracy(combine, self.base):
            held = self.tasks[task].splits.get("calibration")
            if held is None:
                raise W2SError(
                    f"combine: {combine} goes by held-out ground truth, and {task} has none; give sizes.calibration a "
                    "number of items"
                )
        others = f" and {len(models) - 1} more" if len(models) > 1 else ""
        title, code = f"{first.name}{others}", COMBINATIONS.code(combine, self.base)
        return ChosenStage(title, first.on, models, self.recipe.selection, combine, code, held)

    def labels(self, task: str, models: tuple[Classified, ...], config: LabelConfig) -> LabelStage:
        """Labels by supervisors on all that they answered."""
        chosen = self.chosen(task, models, config.combine)
        return LabelStage(f"by {chosen.name}", chosen, config, code=config.code(self.base))

    def split(
        self, task: str, train: Rows, labels: Labels, pick: LabelStage | None = None, raven: Raven | None = None
    ) -> Split:
        """Training items with their labels, beside the task's validation items."""
        return Split(train, self.tasks[task]["validation"], labels, pick, raven)

    @property
    def targets(self) -> list[Stage]:
        """Everything, level by level: probes that can be trained at once then stand beside each other."""
        stages = ordered([self.analysis])
        level: dict[str, int] = {}
        for stage in stages:
            level[stage.key] = 1 + max((level[parent.key] for parent in stage.inputs.values()), default=0)
        return sorted(stages, key=lambda stage: level[stage.key])

    @cached_property
    def analysis(self) -> FinishStage:
        """The last stage."""
        recipe = self.recipe
        settings = {
            "seeds": recipe.seeds,
            "selection": recipe.selection,
            "ceiling": recipe.ceiling,
            "models": {name: facts.parameters for name, facts in self.models.items()},
            "methods": {name: config.algorithm for name, config in recipe.methods.items()},
            "losses": {
                name: config.loss.name if config.plain else f"{config.loss.name}, other labels"
                for name, config in recipe.methods.items()
            },
            **recipe.analysis.model_dump(),
        }
        tests = {task: {name: rows[name] for name in ("validation", "test")} for task, rows in self.tasks.items()}
        return FinishStage("analysis", self.named, self.floors, tests, self.cells, settings)


#: Fine-tuning of the original paper where a recipe says nothing: two epochs of batches of 32.
FINETUNE: dict[str, Any] = {"num_train_epochs": 2, "batch_size": 32}
