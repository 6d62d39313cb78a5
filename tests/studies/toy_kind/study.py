"""The coin's recipe, its one kind of stage, and what results.json says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from w2s_pref.core.strict import Section, StudySection
from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.models.info import ModelFacts
from w2s_pref.results.estimates import Model
from w2s_pref.results.trainings import Provenance
from w2s_pref.stages.rows import Rows


class CoinConfig(Section):
    throws: int = Field(100, ge=1, description="throws of every seed")
    heads: float = Field(0.5, ge=0.0, le=1.0, description="how likely it shows heads")


class CoinRecipe(StudySection):
    coin: CoinConfig


class CoinResults(Model):
    """Share of heads of every seed."""

    kind: Literal["coin"] = "coin"
    name: str
    seeds: list[int]
    heads: dict[str, float]
    verdict: dict[str, str]
    provenance: Provenance


@dataclass(frozen=True, eq=False)
class ThrowStage(Stage):
    kind: ClassVar[str] = "throws"
    coin: CoinConfig
    seed: int

    @property
    def payload(self) -> dict[str, Any]:
        return {"coin": self.coin.model_dump(), "seed": self.seed}

    @property
    def rows(self) -> int:
        return self.coin.throws

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: one throw a row."""
        thrown = np.random.default_rng(self.seed).random(self.coin.throws) < self.coin.heads
        if builder.world.main:
            pd.DataFrame({"heads": thrown}).to_parquet(folder / "table.parquet", index=False)
        return {"throws": self.coin.throws}


@dataclass
class CoinStudy:
    """No models and no texts: only stages."""

    targets: list[ThrowStage]
    models: dict[str, ModelFacts] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)
    tokens: dict[str, Any] = field(default_factory=dict)
