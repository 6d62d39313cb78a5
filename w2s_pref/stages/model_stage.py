"""What every stage that runs a model shares: cached token ids, a count of what was computed, a work folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from w2s_pref.engine.stage import Stage
from w2s_pref.models.info import ModelFacts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from w2s_pref.engine.build import Builder

#: A model in memory, and its tokenizer.
Loaded: TypeAlias = "tuple[PreTrainedModel, PreTrainedTokenizerBase]"


@dataclass(frozen=True, eq=False)
class ModelStage(Stage):
    """A stage that all processes build together, because it runs a model."""

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``compute`` with token ids from the cache, and what all processes computed: tokens, padding and without."""
        from w2s_pref.data.token_cache import kept_in
        from w2s_pref.models.batches.read import counting
        from w2s_pref.training.fit import quiet

        quiet()
        with kept_in(builder.store.root / "tokens"), counting() as seen:
            meta = self.compute(builder, folder)
        parts = builder.world.gather((seen.positions, seen.real))
        return {**meta, "computed_tokens": sum(p for p, _ in parts), "real_tokens": sum(real for _, real in parts)}

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """Write the files of the artifact, and return what the stage says about itself."""
        raise NotImplementedError(f"{type(self).__name__} is never built")


class _Training(Protocol):
    @property
    def model(self) -> ModelFacts: ...
    @property
    def seed(self) -> int: ...


def job_facts(builder: Builder, stage: _Training) -> dict[str, Any]:
    """What every training is told: seed, new adapter, what a saved adapter names as its base, whom to tell progress."""
    model = stage.model
    return {
        "seed": stage.seed,
        "lora": model.spec.lora,
        "base_path": str(model.folder or model.spec.path),
        "progress": builder.progress,
    }


def work_folder(builder: Builder, stage: Stage) -> Path:
    """Where a training keeps its checkpoints until the artifact stands."""
    work = builder.store.partial(stage.kind, stage.key)
    with builder.store.guard():
        work.mkdir(parents=True, exist_ok=True)
    return work


def write_history(builder: Builder, folder: Path, history: list[dict[str, Any]]) -> None:
    """``history.json``: one entry a logged step."""
    if builder.world.main:
        (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
