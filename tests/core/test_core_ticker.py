"""No work in silence: a line where nothing was printed for a while, with the name of the work."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from w2s_pref.core.ticker import Ticker
from w2s_pref.launch import display as display_module
from w2s_pref.launch.display import StageDisplay


def until(true: Callable[[], bool]) -> None:
    """Wait for what a thread does, ten seconds at most."""
    end = time.monotonic() + 10
    while not true() and time.monotonic() < end:
        time.sleep(0.005)


def test_long_work_is_named_and_short_work_is_not() -> None:
    said: list[str] = []
    with Ticker(said.append, "reading", every=3600) as quiet:
        quiet.at("training")
    assert said == []
    with Ticker(said.append, "reading", every=0.02) as ticker:
        until(lambda: bool(said))
        ticker.at("training", "step 3 of 10")
        until(lambda: "training" in said[-1])
    assert said[0].startswith("… reading: ")
    assert said[-1] == "… training, step 3 of 10: 0 s so far"
    count = len(said)
    time.sleep(0.05)
    assert len(said) == count  # it ends with the block


def test_a_run_without_a_terminal_names_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    def fast(say: Callable[[str], None], what: str) -> Ticker:
        return Ticker(say, what, every=0.02)

    monkeypatch.setattr(display_module, "Ticker", fast)
    out = io.StringIO()
    stage = cast(Any, SimpleNamespace(kind="model", name="ceiling/weak · seed 0"))
    with StageDisplay(Console(file=out, width=80)) as display:
        until(lambda: "… reading recipe, data and models" in out.getvalue())
        display.stage(1, 1, stage, "start", 0.0)
        display.step(4, 200)
        until(lambda: "ceiling/weak · seed 0, step 4 of 200" in out.getvalue())
        display.stage(1, 1, stage, "done", 2.0)
        until(lambda: "… writing the run folder" in out.getvalue())
    text = out.getvalue()
    assert text.index("… reading") < text.index("… model") < text.index("[1/1] model") < text.index("… writing")


def test_bars_name_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    stage = cast(Any, SimpleNamespace(kind="scores", name="direct/none on test · seed 0"))
    with StageDisplay(console) as display:
        display.stage(1, 2, stage, "start", 0.0)
        tasks = {task.description: task for task in display.bars.tasks}
        [name] = [name for name in tasks if "direct/none" in name]
        assert tasks[name].visible
        assert tasks[name].total is None  # no steps known: it moves all the same
        display.signal(3, {"var": 0.25})
        assert any("direct/none on test · seed 0 (var 0.250)" in task.description for task in display.bars.tasks)
