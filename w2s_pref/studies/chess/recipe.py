"""The recipe of a chess study: which puzzles, which models, which chains. A top-level key ``chess`` makes it one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from w2s_pref.core.errors import W2SError
from w2s_pref.core.strict import Section, StudySection, nearest, sentences
from w2s_pref.core.yaml_io import load_yaml, with_overrides
from w2s_pref.models.spec import ModelSpec
from w2s_pref.studies.chess.notation import Form
from w2s_pref.training.arguments import check, check_lora


class SizesConfig(Section):
    """Puzzles of every split; no two share a position (or, where it is known, a game)."""

    gt: int = Field(2000, ge=1, description="ground truth for the weak supervisor")
    hop: int = Field(2000, ge=1, description="fresh puzzles of each hop: labelled by its supervisor")
    test: int = Field(1000, ge=2, description="every number of the report")


class ChessConfig(Section):
    """Puzzles and how they become labels."""

    source: str = Field(description="file, folder or hub id: rows with fen and moves, or with ctx and target")
    form: Form = Field("position", description="what a prompt shows: the position, or the game as UCI moves or as PGN")
    split: str | None = Field(None, description="hub only: which split of the data set (default train)")
    revision: str | None = Field(None, description="hub only: commit, tag or branch")
    on_bad_row: Literal["error", "drop"] = Field("error", description="malformed position or illegal solution")
    sizes: SizesConfig = SizesConfig()
    seed: int = Field(0, description="decides which puzzle goes where")
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


class AnalysisConfig(Section):
    """Choices of the analysis; none of them trains anything."""

    resamples: int = Field(2000, ge=100, description="bootstrap resamples over puzzles and seeds")
    seed: int = 0


class ChessRecipe(StudySection):
    """One study."""

    chess: ChessConfig
    models: dict[str, ModelSpec]
    chains: list[list[str]] = Field(min_length=1, description="models, weakest first; middle ones are bootstrapped")
    training: dict[str, Any] = Field(default_factory=dict, description="trainer arguments; batch_size is global")
    analysis: AnalysisConfig = AnalysisConfig()

    @model_validator(mode="after")
    def _names_fit(self) -> ChessRecipe:
        if odd := [name for name in self.models if set(name) & set(">@#/ ")]:
            raise ValueError(f"models: the name {odd[0]!r} holds one of '>', '@', '#', '/', ' '; take another")
        for number, chain in enumerate(self.chains):
            for name in chain:
                if name not in self.models:
                    raise ValueError(
                        f"chains[{number}]: no model is called {name!r}; {nearest(name, list(self.models))}"
                    )
            if len(chain) < 2 or len(set(chain)) != len(chain):
                raise ValueError(f"chains[{number}]: needs at least two models, each once, weakest first; got {chain}")
        return self

    @property
    def hops(self) -> int:
        """Of the longest chain."""
        return max(len(chain) for chain in self.chains) - 1

    def problems(self) -> list[str]:
        """Sentences about training arguments that no trainer knows."""
        found = check(self.training, "training", "dpo")
        for name, spec in self.models.items():
            found += check(spec.training, f"models.{name}.training", "dpo")
            found += check_lora(spec.lora, f"models.{name}.lora")
        return found


def load_chess_recipe(path: Path, overrides: list[str] | None = None) -> ChessRecipe:
    """Read a recipe, apply ``key=value`` overrides, check everything that needs neither data nor weights.

    Raises:
        W2SError: every problem found, one sentence each.
    """
    try:
        recipe = ChessRecipe.model_validate(with_overrides(load_yaml(path), overrides or []))
    except ValidationError as error:
        raise W2SError(sentences(error, str(path))) from error
    if problems := recipe.problems():
        raise W2SError([f"{path}: {problem}" for problem in problems])
    return recipe
