"""Progress in the terminal: one line per stage, and a bar with the time left for every process that trains."""

from __future__ import annotations

import time
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from w2s_pref.core.ticker import Ticker

if TYPE_CHECKING:
    from w2s_pref.engine.stage import Stage


#: What is done before the first stage and after the last one.
READING, WRITING = "reading recipe, data and models", "writing the run folder"
#: Seconds between two drawings of the bars in a notebook.
PAUSE = 0.2
#: Signals of the monitor that stand beside the bar.
SHOWN_SIGNALS = ("var", "disagreement", "misfit")


class StageDisplay:
    """Rich bars in a terminal and, with ipywidgets, in a notebook; plain lines there and elsewhere (logs, CI).

    Only the main process shows anything.
    """

    def __init__(self, console: Console, main: bool = True) -> None:
        self.console = Console(force_jupyter=False) if console.is_jupyter else console  # else a box for every line
        self.main = main
        self.total = 0
        self.finished: set[int] = set()
        self.built: set[int] = set()
        self.started = time.perf_counter()
        self.taken = 0.0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        terminal = console.is_terminal
        bars = terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
        # Without a thread in a notebook, which would take a line printed meanwhile into the box of the bars.
        self.bars = Progress(
            *columns, console=console, transient=terminal, auto_refresh=terminal, disable=not (main and bars)
        )
        self.drawn = 0.0
        self.stages = self.bars.add_task(READING, total=None)
        self.trainings: dict[str, TaskID] = {}
        self.names: dict[str, str] = {}
        self.ticker = Ticker(self.line, READING) if main and not bars else None

    def __enter__(self) -> StageDisplay:
        self.bars.start()
        if self.ticker is not None:
            self.ticker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()
        if self.ticker is not None:
            self.ticker.__exit__(kind, value, trace)
        if self.main and self.total and len(self.finished) == self.total:
            built = len(self.built)
            line = f"{self.total} stages: {self.total - built} from the store, {built} built, {self.taken:.1f} s"
            self.console.print(line, highlight=False)

    def stage(self, number: int, total: int, stage: Stage, event: str, seconds: float) -> None:
        """A stage was found in the store, started, finished, or left to another run."""
        self.event(number, total, f"{stage.kind:8} {stage.name}", event, seconds)

    def event(self, number: int, total: int, what: str, event: str, seconds: float, worker: str = "") -> None:
        """The same, for a stage that is only known by name; ``worker`` says which of several processes had it."""
        if not self.main:
            return
        self.total, self.taken = total, time.perf_counter() - self.started
        if event in {"hit", "done"}:
            self.finished.add(number)
        last = len(self.finished) == total
        self.bars.update(
            self.stages, total=total, completed=len(self.finished), description=WRITING if last else "stages"
        )
        self.names[worker] = f"{worker}: {what}" if worker else what
        # A stage without steps shows that it is at work, and which one it is.
        self.bars.update(
            self._training(worker), visible=event == "start", total=None, description=escape(self.names[worker])
        )
        self._at(WRITING if last else self.names[worker])
        if event == "done":
            self.built.add(number)
            self.line(f"[{number}/{total}] {what}  {seconds:.1f} s" + (f"  ({worker})" if worker else ""))
        if event == "left":
            self.line(f"[{number}/{total}] {what}  left to the run that took it over while this one was suspended")
        self._draw()

    def _at(self, what: str, detail: str = "") -> None:
        if self.ticker is not None:
            self.ticker.at(what, detail)

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        if not self.main:
            return
        if self.ticker is not None:
            self.ticker.heard()
        self.console.print(escape(text), highlight=False, soft_wrap=True)

    def wait(self, sentence: str) -> None:
        """There is nothing to do until another run has finished."""
        self.line(sentence)

    def signal(self, step: int, signals: dict[str, float]) -> None:
        """The monitor looked at a model in training."""
        if self.main:
            shown = ", ".join(f"{name} {signals[name]:.3f}" for name in SHOWN_SIGNALS if name in signals)
            self.bars.update(self._training(""), description=escape(f"{self.names.get('', 'steps')} ({shown})"))

    def step(self, done: int, total: int, worker: str = "") -> None:
        """A training made progress."""
        if self.main:
            self.bars.update(self._training(worker), visible=True, total=total, completed=done)
            self._at(self.names.get(worker, "training"), f"step {done} of {total}")
            self._draw()

    def _draw(self) -> None:
        """Draw the bars where nobody else does."""
        live = self.bars.live
        if not (live.auto_refresh or self.bars.disable) and time.perf_counter() - self.drawn >= PAUSE:
            self.drawn = time.perf_counter()
            self.bars.refresh()

    def _training(self, worker: str) -> TaskID:
        if worker not in self.trainings:
            self.trainings[worker] = self.bars.add_task("steps", total=None, visible=False)
        return self.trainings[worker]
