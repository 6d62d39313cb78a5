"""Recipe and puzzles → the stages of a chess study. Reads files and headers of models; loads no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from w2s_pref.data.config import Prepared
from w2s_pref.engine.stage import Stage
from w2s_pref.models.info import ModelFacts, facts
from w2s_pref.stages.answers import SampleStage
from w2s_pref.stages.model_stage import StartStage, check_language_model
from w2s_pref.studies.chess.puzzles import Puzzles, cut, puzzles
from w2s_pref.studies.chess.recipe import ChessRecipe
from w2s_pref.studies.chess.stages import MoveModelStage, MoveScoreStage
from w2s_pref.training.arguments import keyed, merged, only

Policy = StartStage | MoveModelStage


@dataclass(frozen=True)
class Cell:
    """One chain: the names of its weak model, student and ceiling."""

    chain: tuple[str, ...]
    weak: str
    student: str
    ceiling: str


@dataclass
class ChessStudy:
    """The stages, by what people call them.

    Attributes:
        splits: ``gt``, ``hop1`` …, ``test``.
        scores: (model, seed) → its answers to the test puzzles.
        labels: (student, seed) → the answers it learned from.
        counts: what the source held.
    """

    recipe: ChessRecipe
    splits: Mapping[str, Puzzles]
    models: Mapping[str, ModelFacts]
    counts: dict[str, int]
    scores: dict[tuple[str, int], MoveScoreStage] = field(default_factory=dict)
    labels: dict[tuple[str, int], MoveScoreStage] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)

    @property
    def targets(self) -> list[Stage]:
        """What the whole study needs."""
        return [*self.labels.values(), *self.scores.values()]

    @property
    def rows(self) -> Mapping[str, Puzzles]:
        """Splits, as the plan shows them."""
        return self.splits

    @property
    def tokens(self) -> dict[str, Any]:
        """Limits of a text."""
        return {"max_length": self.recipe.chess.max_length, "overlong": "truncate"}

    def start(self, model: str) -> StartStage:
        """A model as it is; also its zero-shot answers."""
        stage = StartStage(f"{model} as it is", self.models[model], 0)
        for seed in self.recipe.seeds:
            self._judge(f"start/{model}", stage, seed)
        return stage

    def train(self, name: str, model: str, split: str, labels: SampleStage | None, seed: int) -> MoveModelStage:
        """A model on the solutions or the labels of one split, and its answers to the test puzzles."""
        spec = self.recipe.models[model]
        arguments = merged(*(only(layer, "dpo") for layer in (self.recipe.training, spec.training)))
        stage = MoveModelStage(
            name=f"{name} · seed {seed}",
            start=self.start(model),
            other=None,
            seed=seed,
            arguments=arguments,
            keyed=keyed(arguments),
            tokens=self.tokens,
            on=self.splits[split],
            labels=labels,
            illegal=self.recipe.chess.illegal,
        )
        self._judge(name, stage, seed)
        return stage

    def answers(self, name: str, policy: Policy, split: str) -> SampleStage:
        """What a model writes when it takes the most likely token every time."""
        config = self.recipe.chess
        settings = {
            "samples": 1,
            "temperature": 0.0,
            "max_new_tokens": config.max_new_tokens,
            "batch_size": config.decode_batch,
        }
        return SampleStage(name, policy, self.splits[split], settings, 0, self.tokens)

    def _judge(self, name: str, policy: Policy, seed: int) -> None:
        answers = self.answers(f"{policy.name} · test", policy, "test")
        self.scores[name, seed] = MoveScoreStage(f"{policy.name} · test", answers, self.splits["test"])


def open_chess(recipe: ChessRecipe, base: Path, planning: bool) -> tuple[ChessStudy, Prepared]:
    """Read the puzzles, cut them, and build the graph; loads no weights. Puzzles are never stood in for.

    Raises:
        W2SError: bad puzzles, too few of them, or a model that is none.
    """
    config = recipe.chess
    frame = puzzles(
        config.source, config.form, base, part=config.split, revision=config.revision, on_bad_row=config.on_bad_row
    )
    splits = cut(frame, config.sizes.model_dump(), recipe.hops, config.seed)
    used = dict.fromkeys(name for chain in recipe.chains for name in chain)
    models = {name: facts(recipe.models[name], base) for name in used}
    for model in models.values():
        check_language_model(model)
    study = chess_stages(recipe, splits, models, frame.attrs["counts"])
    return study, Prepared({name: split.frame for name, split in splits.items()}, study.counts)


def chess_stages(
    recipe: ChessRecipe, splits: Mapping[str, Puzzles], models: Mapping[str, ModelFacts], counts: dict[str, int]
) -> ChessStudy:
    """The graph on puzzles that are cut already."""
    study = ChessStudy(recipe, splits, models, counts)
    for chain in recipe.chains:
        for seed in recipe.seeds:
            _chain(study, chain, seed)
        arrow = ">".join(chain)
        study.cells.append(Cell(tuple(chain), f"floor/{chain[0]}", f"student/{arrow}", f"ceiling/{chain[-1]}"))
    return study


def _chain(study: ChessStudy, chain: list[str], seed: int) -> None:
    """Every model labels fresh puzzles for the next. All chains end on the same puzzles, those of the last hop."""
    hops, arrow = len(chain) - 1, ">".join(chain)
    supervisor: Policy = study.train(f"floor/{chain[0]}", chain[0], "gt", None, seed)
    for hop in range(1, hops + 1):
        split = f"hop{study.recipe.hops - hops + hop}"
        name = f"student/{arrow}" + (f"/hop{hop}" if hop < hops else "")
        answers = study.answers(f"labels of {supervisor.name} · {split}", supervisor, split)
        study.labels[name, seed] = MoveScoreStage(answers.name, answers, study.splits[split])
        supervisor = study.train(name, chain[hop], split, answers, seed)
    study.train(f"ceiling/{chain[-1]}", chain[-1], f"hop{study.recipe.hops}", None, seed)
