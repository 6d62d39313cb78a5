"""The recipe of a chess study: which puzzles, which models, which chains. A top-level key ``chess`` makes it one."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from w2s_pref.core.paths import PathText
from w2s_pref.core.strict import Section, Seed, StudySection
from w2s_pref.models.spec import ModelSpec
from w2s_pref.studies.chess.notation import Form
from w2s_pref.studies.recipe import ResamplingConfig, check_chain, refuse_signs, training_problems


class SizesConfig(Section):
    """Puzzles of every split; no two share a position (or, where it is known, a game)."""

    gt: int = Field(2000, ge=1, description="ground truth for the weak supervisor")
    hop: int = Field(2000, ge=1, description="fresh puzzles of each hop: labelled by its supervisor")
    test: int = Field(1000, ge=2, description="every number of the report")


class ChessConfig(Section):
    """Puzzles and how they become labels."""

    source: PathText = Field(description="file, folder or hub id: rows with fen and moves, or with ctx and target")
    form: Form = Field("position", description="what a prompt shows: the position, or the game as UCI moves or as PGN")
    split: str | None = Field(None, description="hub only: which split of the data set (default train)")
    revision: str | None = Field(None, description="hub only: commit, tag or branch")
    on_bad_row: Literal["error", "drop"] = Field("error", description="malformed position or illegal solution")
    sizes: SizesConfig = SizesConfig()
    seed: Seed = Field(0, description="decides which puzzle goes where")
    illegal: Literal["keep", "drop"] = Field("keep", description="labels that are no legal move: train on them or not")
    max_length: int = Field(256, ge=8, description="longest prompt and answer in tokens; longer ones lose their start")
    max_new_tokens: int = Field(8, ge=2, description="longest decoded answer in tokens, the eos included")
    decode_batch: int = Field(256, ge=1, description="answers decoded at once")
    bands: list[int] = Field(default_factory=lambda: [1000, 1500, 2000], description="ratings between which to report")

    @field_validator("bands")
    @classmethod
    def _rising(cls, bands: list[int]) -> list[int]:
        if bands != sorted(set(bands)):
            raise ValueError(f"bands {bands}: write rising ratings, each once")
        return bands


class ChessRecipe(StudySection):
    """One study."""

    chess: ChessConfig
    models: dict[str, ModelSpec]
    chains: list[list[str]] = Field(min_length=1, description="models, weakest first; middle ones are bootstrapped")
    training: dict[str, Any] = Field(default_factory=dict, description="trainer arguments; batch_size is global")
    analysis: ResamplingConfig = ResamplingConfig()

    @model_validator(mode="after")
    def _names_fit(self) -> ChessRecipe:
        refuse_signs(self.models)
        for number, chain in enumerate(self.chains):
            check_chain(chain, self.models, f"chains[{number}]")
        return self

    @property
    def hops(self) -> int:
        """Of the longest chain."""
        return max(len(chain) for chain in self.chains) - 1

    def problems(self) -> list[str]:
        """Sentences about training arguments that no trainer knows."""
        return training_problems(self.models, self.training, "dpo")
