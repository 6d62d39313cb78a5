"""A kind of study that is not in the package: how often a coin shows heads. A recipe names this folder as ``kind``."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from w2s_pref.data.config import Prepared
from w2s_pref.engine.stage import Builder
from w2s_pref.report.draw.blocks import Points, Section
from w2s_pref.report.html import write_study
from w2s_pref.studies.folder import provenance
from w2s_pref.studies.kind import Opened, StudyKind

from .study import CoinRecipe, CoinResults, CoinStudy, ThrowStage


def open_coin(recipe: CoinRecipe, base: Path, planning: bool) -> tuple[CoinStudy, Prepared]:
    """One stage a seed."""
    stages = [ThrowStage(f"throws · seed {seed}", recipe.coin, seed) for seed in recipe.seeds]
    return CoinStudy(stages), Prepared(counts={"throws": recipe.coin.throws * len(stages)})


def finish(opened: Opened[CoinRecipe, CoinStudy], builder: Builder, folder: Path, command: str) -> CoinResults:
    """The share of heads of every seed, and a page that says it."""
    stages = opened.study.targets
    heads = {stage.name: float(builder.table(stage)["heads"].mean()) for stage in stages}
    headline = f"heads in {sum(heads.values()) / len(heads):.1%} of the throws"
    section = Section("coin", "Heads", [Points([headline])])
    write_study(opened.recipe.name, "A coin", [section], "", folder / "report.html")
    return CoinResults(
        name=opened.recipe.name,
        seeds=opened.recipe.seeds,
        heads=heads,
        verdict={"headline": headline},
        provenance=provenance(opened, builder, command, {stage.name: stage.key for stage in stages}),
    )


def show(results: CoinResults, folder: Path, console: Console) -> None:
    """One line."""
    console.print(f"{results.name}: {results.verdict['headline']}")


KIND = StudyKind("coin", CoinRecipe, CoinResults, open_coin, finish, show)
