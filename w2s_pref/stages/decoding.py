"""A frozen model that a weak policy's training guides: how it writes, and how it ranks. Nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.models.info import ModelFacts
from w2s_pref.stages.model_stage import CausalStage, StartStage
from w2s_pref.stages.policies import LOGPS, LogProbStage, PolicyStage
from w2s_pref.stages.rows import Rows

if TYPE_CHECKING:
    from w2s_pref.models.generation import Drawer
    from w2s_pref.stages.model_stage import Loaded


@dataclass(frozen=True, eq=False)
class DecodedPolicy(CausalStage):
    """``strong``, guided by ``tuned`` and its reference; never built and never stored.

    ``settings``: ``beta`` of emulated fine-tuning, or ``beams``, ``successors`` and ``chunk`` of a search.
    """

    kind: ClassVar[str] = "decoded"
    strong: StartStage | PolicyStage
    tuned: PolicyStage
    settings: dict[str, Any]
    tokens: dict[str, Any]

    @property
    def model(self) -> ModelFacts:
        """Of the model that writes."""
        return self.strong.model

    @property
    def reference(self) -> StartStage | PolicyStage:
        """The model alone."""
        return self.strong

    @property
    def inputs(self) -> dict[str, Stage]:
        """Those of the three models that were trained."""
        models: dict[str, Stage] = {"strong": self.strong, "tuned": self.tuned, "untuned": self.tuned.reference}
        return {name: stage for name, stage in models.items() if isinstance(stage, PolicyStage)}

    @property
    def payload(self) -> dict[str, Any]:
        """How it decodes; models that were not trained."""
        models = {"strong": self.strong, "untuned": self.tuned.reference}
        files = {name: stage.payload for name, stage in models.items() if isinstance(stage, StartStage)}
        return {**files, "settings": self.settings, "tokens": self.tokens}

    @property
    def searches(self) -> bool:
        """Whether the model writes several answers and keeps one."""
        return "beams" in self.settings

    @property
    def width(self) -> int:
        """Sequences that are held for each answer."""
        return int(self.settings["beams"] * self.settings["successors"]) if self.searches else 1

    def _read(self, builder: Builder, trainable: bool) -> Loaded:
        return self.strong._read(builder, trainable)

    def recalled(self, builder: Builder) -> Loaded:
        """The model that writes."""
        return self.strong.recalled(builder)

    def drawer(self, builder: Builder, loaded: Loaded) -> Drawer:
        """How answers are drawn; ``loaded`` is the model that writes."""
        from w2s_pref.models.decoding import Emulation, Guide, Search

        tuned, tokenizer = self.tuned.load(builder)
        untuned, _ = self.tuned.reference.load(builder)
        guide = Guide(tuned, untuned, tokenizer, self.tokens["max_length"])
        if "beta" in self.settings:
            return Emulation(loaded[0], guide, self.settings["beta"])
        return Search(*loaded, guide, **self.settings)


def affordable(search: pd.DataFrame, plain: pd.DataFrame) -> int:
    """How many plain answers cost the tokens that a search drew for one, at least 1."""
    return max(1, round(float(search["drawn"].sum() / plain["tokens"].sum())))


@dataclass(frozen=True, eq=False)
class EmulatedLogProbs(Stage):
    """log π_s + β (log π_w,tuned − log π_w,untuned) of both answers of every pair: emulated fine-tuning as a ranker."""

    kind: ClassVar[str] = "logprobs"
    on_main: ClassVar[bool] = True
    on: Rows
    strong: LogProbStage
    tuned: LogProbStage
    untuned: LogProbStage
    beta: float

    @property
    def inputs(self) -> dict[str, Stage]:
        """Log-probabilities of the three models."""
        return {"strong": self.strong, "tuned": self.tuned, "untuned": self.untuned}

    @property
    def payload(self) -> dict[str, Any]:
        """The weight."""
        return {"emulated": self.beta}

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: id, logp_a, logp_b (nats; no law's, for each token's is not normalised), tokens_a, _b."""
        table, tuned, untuned = (builder.table(stage).set_index("id") for stage in self.inputs.values())
        table[LOGPS] += self.beta * (tuned.loc[table.index, LOGPS] - untuned.loc[table.index, LOGPS])
        table.reset_index().to_parquet(folder / "table.parquet", index=False)
        return {"pairs": len(table), "dropped": len(self.on) - len(table)}
