"""Run a recipe from this process: alone, with workers beside it, or in a launch of many, to a clean end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shlex
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel
from rich.console import Console

from w2s_pref.core import collector
from w2s_pref.core.errors import W2SError, masked
from w2s_pref.core.registry import only_here
from w2s_pref.launch import allocation
from w2s_pref.launch.display import StageDisplay
from w2s_pref.launch.prepared import Prepared, prepared
from w2s_pref.launch.workers import build_together
from w2s_pref.parallel import heartbeat
from w2s_pref.parallel.world import World

if TYPE_CHECKING:
    from w2s_pref.studies.kind import AnyOpened
    from w2s_pref.studies.run import Given


def launch(recipe: Path, overrides: list[str], workers: int | None = None, alone: bool = True) -> None:
    """Build what is missing, write the run folder, print its tables: what ``w2s run`` and recipes/run.py both do.

    Args:
        workers: processes beside this one that build; None: as many as the machine and the recipe have room for.
        alone: nobody else started this process to train; else it starts no workers by itself.

    Raises:
        W2SError: the recipe, the data, the models or the machine cannot do it.
        SystemExit: 130 after Ctrl-C, when what to do next has been said.
    """
    from w2s_pref.studies.finished import show_run
    from w2s_pref.studies.shipped import find_recipe

    console, world = Console(), World()
    more = ["--workers", str(workers)] if workers else []
    command = masked(shlex.join(["w2s", "run", str(recipe), *overrides, *more]))
    with StageDisplay(console, world.main) as display:
        try:
            folder = build_here(recipe, overrides, display, command, workers, alone)
        except KeyboardInterrupt:
            display.bars.stop()
            same = command if world.size == 1 else "the same accelerate launch command"
            print(f"\nStopped. Nothing finished is lost; this continues:\n  {same}", file=sys.stderr)
            raise SystemExit(130) from None
    if world.main:
        show_run(folder, console, find_recipe(recipe).resolve().parent)


def build_here(
    given: Given, overrides: list[str], display: StageDisplay, command: str, workers: int | None, alone: bool = True
) -> Path:
    """Build what is missing, with workers where these have work, and write the run folder; returns it.

    Arguments and errors: see ``launch``; ``command`` goes into the provenance.
    """
    size = World().size
    if workers and workers > 1 and size > 1:
        raise W2SError(
            f"--workers {workers}: this is a launch of {size} processes that train one stage together; "
            "use either, or start several such launches on one store"
        )
    by_itself = workers is None and alone and size == 1
    with prepared(given, overrides, allocation.cores() if by_itself else 1) as ready:
        return _built(given, overrides, display, command, workers, by_itself, ready)


def _built(
    given: Given, overrides: list[str], display: StageDisplay, command: str, workers: int | None, by_itself: bool,
    ready: Prepared | None,
) -> Path:  # fmt: skip
    """``build_here``; ``by_itself`` it says how many workers there are. Those of small models come from ``ready``."""
    from w2s_pref.studies.notices import warnings_of
    from w2s_pref.studies.run import open_recipe, run

    opened = open_recipe(given, overrides)
    for note in warnings_of(opened):
        display.line(note)
    own = _only_here(opened)
    if own and workers and workers > 1:
        raise W2SError(
            f"{workers} workers: {', '.join(own)} is registered in this process, and workers would not know it; write "
            f"it into a file and name it in the recipe (mine.py:{own[0]}), or build with one worker"
        )
    found = allocation.here(opened) if by_itself and not own else None
    if found is not None:
        display.line(str(found))
    with _threads(found):
        number = found.workers if found is not None else workers or 1
        if ready is not None and (found is None or number == 1 or not found.small):
            ready.stop()  # it would hold half a gigabyte to the end
            ready = None
        if number > 1:
            build_together(given, overrides, number, display, ready)
        _, folder = run(given, overrides, display, command, opened)
    return folder


#: Keys of a recipe in which its own models and arms are named; of those, only a method may be registered.
_OWN = frozenset({"models", "arms", "ladder", "chains", "placebo"})


def _only_here(opened: AnyOpened) -> list[str]:
    """What the recipe may name that only this process knows, such as a loss of a notebook."""
    names = only_here()
    said = set(_said(opened.recipe.model_copy(update={"name": "", "output": ""}))) if names else set()
    return [name for name in names if name in said]


def _said(value: object, own: bool = False) -> Iterator[str]:
    """Words of a recipe that may name something registered: values, keys that are no fields; of ``model@method`` both.

    Of ``own`` names the method only. ``file.py:name`` names what workers find as well.
    """
    if isinstance(value, str):
        yield from value.split("@")[own:]
    elif isinstance(value, BaseModel | Mapping):
        for key, each in dict(value).items():
            yield from () if isinstance(value, BaseModel) else _said(key, own)
            yield from _said(each, own or key in _OWN)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _said(each, own)


@contextlib.contextmanager
def _threads(found: allocation.Allocation | None) -> Iterator[None]:
    """The threads of this process and of those that it starts, as they were afterwards."""
    if found is None:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(found.threads)
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    if before is not None:
        sys.modules["torch"].set_num_threads(found.threads)
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]  # ``allocation.here`` finds nothing where it is set
        if before is not None:
            sys.modules["torch"].set_num_threads(before)


def main(words: list[str]) -> int:
    """Run ``RECIPE.yaml [key=value …]`` on every process of this launch; returns the exit status."""
    if not words:
        print("usage: accelerate launch … (recipes/run.py or -m w2s_pref.launch) RECIPE [key=value …]", file=sys.stderr)
        return 2
    collector.begin()
    try:
        launch(Path(words[0]), words[1:], alone=False)
    except W2SError as error:
        heartbeat.stop("failed")
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 1
    except SystemExit as end:  # after an interrupt
        heartbeat.stop("left")
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    """Where another process is gone, that is the reason, and torch's message about sockets is not."""
    sentence = heartbeat.explain()
    if sentence is None and "timed out" in str(error).lower():
        sentence = (
            "the processes waited for each other longer than training.ddp_timeout; raise it (seconds) where a stage "
            "of one process (labels, analysis, a slow disk) takes longer"
        )
    if sentence is None:
        heartbeat.stop("failed")
        traceback.print_exc()
        return 1
    heartbeat.stop("left")
    print(f"error: {sentence}. {heartbeat.HOW_TO_CONTINUE}", file=sys.stderr)
    return 1


def leave(status: int) -> None:
    """End this process of a launch, after everybody where all went well.

    Results stand already. Threads of the process group sometimes abort a finished process while the interpreter shuts
    down, even after the group was destroyed; so it is left without that.
    """
    if "torch" in sys.modules and status == 0:
        _dissolve()
    heartbeat.stop("done" if status == 0 else "left")
    for child in multiprocessing.active_children():
        child.terminate()
    sys.stdout.flush()
    sys.stderr.flush()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        os._exit(status)
    sys.exit(status)


def _dissolve() -> None:
    """Wait for everybody, then destroy the process group."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        heartbeat.stop("done")
        distributed.destroy_process_group()
