"""Run a recipe: build what the store lacks, analyse, write the run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from w2s_pref.core.errors import W2SError
from w2s_pref.core.yaml_io import load_yaml, with_overrides
from w2s_pref.data.config import DataConfig, Prepared, prepare
from w2s_pref.engine.build import Builder
from w2s_pref.engine.loop import Display, Loop
from w2s_pref.engine.places import open_store
from w2s_pref.engine.store import Store
from w2s_pref.models import quantized
from w2s_pref.parallel.world import TIMEOUT_S, World
from w2s_pref.results.generalization import LabResults
from w2s_pref.results.results import Results
from w2s_pref.studies.generalization.analyze import FinishStage
from w2s_pref.studies.preferences.analyze import AnalyzeStage
from w2s_pref.studies.preferences.graph import Study, all_stages, build_study
from w2s_pref.studies.preferences.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from w2s_pref.results.chess import ChessResults

    AnyResults = Results | LabResults | ChessResults


@dataclass
class Opened:
    """A recipe with its data read, its graph built and its store found."""

    recipe: Recipe
    base: Path
    prepared: Prepared
    study: Study
    store: Store
    notes: list[str] = field(default_factory=list)


def open_recipe(
    path: Path, overrides: list[str], prepare_data: Callable[[DataConfig, Path], Prepared] = prepare
) -> Opened:
    """Read recipe and data and build the graph; loads no weights. ``tasks`` or ``chess`` makes it the laboratory's.

    Raises:
        W2SError: every configuration and data error found.
    """
    raw = with_overrides(load_yaml(path), overrides)
    if "tasks" in raw:
        from w2s_pref.studies.generalization.open import open_laboratory

        return open_laboratory(raw, path, plan=prepare_data is not prepare)
    if "chess" in raw:
        from w2s_pref.studies.chess.run import open_chess

        return open_chess(path, overrides)
    recipe = load_recipe(path, overrides)
    base = path.expanduser().resolve().parent
    prepared = prepare_data(recipe.data, base)
    return Opened(recipe, base, prepared, build_study(recipe, prepared, base), open_store(recipe.store_place()))


def run(path: Path, overrides: list[str], display: Display, command: str) -> tuple[AnyResults, Path]:
    """Run everything that is missing and write the run folder. Every process of the launch calls this.

    Returns:
        The results and the run folder.
    """
    opened, builder = build(path, overrides, display)
    world = builder.world
    folder = Path(opened.recipe.output).expanduser() / opened.recipe.name
    done = world.broadcast(world.on_main(lambda: _finish(opened, builder, command, folder)))
    assert done is not None
    return done, folder


def build(path: Path, overrides: list[str], display: Display) -> tuple[Opened, Builder]:
    """Build every stage that is missing, and write no run folder."""
    from w2s_pref.studies.preferences.outputs import check_places

    world = World()
    opened = open_recipe(path, overrides)
    world.expect(opened.recipe.processes)
    _refuse_unreachable(opened.study)
    check_places(opened)
    stages = all_stages(opened.study)
    for stage in stages:
        stage.check(world.size)
    world.form(float(opened.recipe.training.get("ddp_timeout", TIMEOUT_S)))
    if world.main:
        opened.store.sweep()
    builder = Builder(opened.store, world, opened.base, display.step, display.signal)
    Loop(stages, builder, display).run()
    return opened, builder


def _finish(opened: Opened, builder: Builder, command: str, folder: Path) -> AnyResults:
    analysis = all_stages(opened.study)[-1]
    if isinstance(analysis, FinishStage):
        from w2s_pref.studies.generalization.finish import finish

        return finish(opened, analysis, builder, command)
    if not isinstance(analysis, AnalyzeStage):
        from w2s_pref.studies.chess.run import finish as finish_chess

        return finish_chess(cast(Any, opened.study), builder, folder)
    from w2s_pref.studies.preferences.outputs import assemble, write_run

    results = assemble(opened, analysis, builder, command)
    with builder.store.guard():
        write_run(opened, analysis, builder, results)
    return results


def _refuse_unreachable(study: Study) -> None:
    """Nothing is started that cannot finish: models and what loads them must be here, or downloadable."""
    from w2s_pref.core.hub import go_offline_if_unreachable
    from w2s_pref.models.spec import how_to_get

    for facts in study.models.values():
        quantized.require(facts.spec.quantization)
    specs = [facts.spec for facts in study.models.values() if facts.folder is None]
    missing = list(dict.fromkeys((spec.path, spec.revision) for spec in specs))
    if missing and go_offline_if_unreachable():
        raise W2SError([how_to_get(path) for path, _ in missing])
    for path, revision in missing:
        _probe_hub(path, revision)


def _probe_hub(path: str, revision: str | None) -> None:
    from huggingface_hub import hf_hub_download

    from w2s_pref.models.spec import how_to_get

    try:
        hf_hub_download(path, "config.json", revision=revision)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise W2SError(f"{how_to_get(path)} ({type(error).__name__}: {reason[:160]})") from error
