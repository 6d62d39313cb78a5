"""Build the stages that the store lacks. Many runs may work on one store: each takes what is ready and free."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.engine.locks import Held, Lease, LeaseLost
from w2s_pref.engine.missing import missing
from w2s_pref.engine.stage import Builder, Stage


class Display(Protocol):
    """What shows progress."""

    def stage(self, number: int, total: int, stage: Stage, event: str, seconds: float) -> None:
        """A stage was found (hit), started (start), finished (done), or left to another run (left)."""

    def step(self, done: int, total: int) -> None:
        """A training made progress."""

    def signal(self, step: int, signals: dict[str, float]) -> None:
        """The monitor looked at a model in training."""

    def wait(self, sentence: str) -> None:
        """There is nothing to do until another run has finished."""


#: Times that a run has found nothing to do before a sentence says whom it waits for.
PATIENCE = 3
#: What the main process chose: the number of a stage, and what to do with it.
Choice = tuple[int, Literal["hit", "build", "wait", "again"]]


class Clock:
    """Time from now on: of the wall clock, and of the processors that this process works on."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def spent(self) -> dict[str, float]:
        """``seconds`` and ``processor_seconds``."""
        processor = time.process_time() - self.processor
        return {"seconds": time.perf_counter() - self.wall, "processor_seconds": processor}


class Loop:
    """The stages of one recipe that are left to do. The main process chooses for everybody."""

    def __init__(self, stages: list[Stage], builder: Builder, display: Display) -> None:
        self.builder, self.display = builder, display
        self.store, self.world = builder.store, builder.world
        self.total = len(stages)
        self.stages = dict(enumerate(stages, 1))
        self.left = dict(self.stages)
        self.tried: set[int] = set()
        self.last = 0
        self.held: Held | None = None
        self.waited = 0
        self.told = ""
        builder.progress = self._step

    def run(self) -> None:
        """Until every stage stands.

        Raises:
            W2SError: a stage failed, or the store, or the processes of this launch opened different things.
        """
        self._agree()
        while self.left:
            choice = self.world.broadcast(self.world.on_main(self._choose))
            assert choice is not None
            number, what = choice
            if what == "wait":
                continue
            stage, seconds, self.waited = self.stages[number], 0.0, 0
            if what == "again":
                self.left[number] = stage
                continue
            if what == "build":
                try:
                    seconds = self._timed(number, stage)
                except LeaseLost:
                    self.display.stage(number, self.total, stage, "left", 0.0)
                    continue
            del self.left[number]
            self.last = number
            built = what == "build" or stage.key in self.builder.made
            self.display.stage(number, self.total, stage, "done" if built else "hit", seconds)

    def _agree(self) -> None:
        """Every process has the same stages: two machines may have other copies of data, code or this package."""
        everyone = self.world.gather(digest(*(stage.key for stage in self.left.values())))
        other = [rank for rank, keys in enumerate(everyone) if keys != everyone[0]]
        if other:
            raise W2SError(
                f"process {other[0]} of this launch has other stages than process 0: its recipe, data, code or version "
                "of this package is another; give every machine the same, then run the same command again"
            )

    def _choose(self) -> Choice:
        """The next stage that stands, or that is ready and free. From the last one on: its model is still in memory."""
        busy: list[tuple[Stage, Lease]] = []
        waiting = {stage.key for stage in self.left.values()}
        for number in sorted(self.left, key=lambda number: (number <= self.last, number)):
            stage = self.left[number]
            ready = all(parent.key not in waiting for parent in stage.inputs.values())
            if number in self.tried and not ready:
                continue
            self.tried.add(number)
            if self._stands(stage):
                return number, "hit"
            if ready and (choice := self._weightless_input(stage) or self._take(number, stage, busy)):
                return choice
        self._wait(busy)
        return 0, "wait"

    @cached_property
    def _read(self) -> dict[str, bool]:
        """Keys of the stages that will be read, and whether with their weights.

        They are inputs of what is missing, and what no other stage reads.
        """
        stages = list(self.left.values())
        read = {parent.key for stage in stages for parent in stage.inputs.values()}
        found = {stage.key: False for stage in stages if stage.key not in read}
        for stage in missing(stages, self.store):
            for parent in stage.inputs.values():
                found[parent.key] = found.get(parent.key, False) or not stage.on_main
        return found

    def _stands(self, stage: Stage) -> bool:
        """Whether it is in the store. What will be read is fetched and checked now, while it can be built again."""
        return self._there(stage) if stage.key in self._read else self.store.stands(stage.kind, stage.key)

    def _there(self, stage: Stage) -> bool:
        """Whether it can be read: not without freed weights, where a missing stage computes with them."""
        artifact = self.store.get(stage.kind, stage.key)
        return artifact is not None and not (artifact.freed and self._read.get(stage.key))

    def _weightless_input(self, stage: Stage) -> Choice | None:
        """An input whose weights were freed, where this stage turned out to be damaged only now: it is built first."""
        inputs = set() if stage.on_main else {parent.key for parent in stage.inputs.values()}
        for number, parent in self.stages.items():
            if parent.key in inputs and self.store.freed(parent.kind, parent.key):
                self._read[parent.key] = True
                return number, "again"
        return None

    def _take(self, number: int, stage: Stage, busy: list[tuple[Stage, Lease]]) -> Choice | None:
        self.held = self.store.take(stage.kind, stage.key)
        if self.held is None:
            lease = self.store.holder(stage.kind, stage.key)
            busy += [(stage, lease)] if lease is not None else []
            return None
        if self._there(stage):  # finished between the look and the lock
            self._release()
            return number, "hit"
        return number, "build"

    def _wait(self, busy: list[tuple[Stage, Lease]]) -> None:
        """Say once who is waited for, unless it takes a moment only, and sleep a little."""
        self.waited += 1
        if busy and self.waited >= PATIENCE and self.told not in {lease.token for _, lease in busy}:
            stage, lease = busy[0]
            self.told = lease.token
            more = f" and {len(busy) - 1} more" if len(busy) > 1 else ""
            who = f"another run builds it ({lease.holder})"
            self.display.wait(f"waiting for {stage.kind} {stage.name}{more}: {who}")
        time.sleep(self.store.poll)

    def _release(self) -> None:
        if self.held is not None:
            self.held.release()
            self.held = None

    def _step(self, done: int, total: int) -> None:
        """Alone, a process that lost its lease while it was suspended stops here; several would wait for it forever."""
        if self.held is not None and self.world.size == 1:
            self.held.check()
        self.display.step(done, total)

    def _timed(self, number: int, stage: Stage) -> float:
        self.display.stage(number, self.total, stage, "start", 0.0)
        started = time.perf_counter()
        try:
            self._build(stage)
        except Exception:
            if self.held is not None and self.world.size == 1:
                self.held.confirm()  # what failed may be the files that the new holder swept away
            raise
        finally:
            self._release()
        return time.perf_counter() - started

    def _build(self, stage: Stage) -> None:
        started = Clock()
        if stage.on_main:
            self.world.on_main(lambda: self._write(stage, started))
            return
        if self.world.size == 1:
            self._write(stage, started)
            return
        self._write_together(stage, started)
        self.store.get(stage.kind, stage.key)

    def _write(self, stage: Stage, started: Clock) -> None:
        with self.store.writing(stage.kind, stage.key) as folder:
            meta = self._made(stage, folder) | started.spent()
            if self.held is not None and self.world.size == 1:
                self.held.confirm()  # a commit would be harmless, but it clears the checkpoints the new holder uses
            self._commit(stage, folder, meta)

    def _commit(self, stage: Stage, folder: Path, meta: dict[str, Any]) -> None:
        self.store.commit(stage.kind, stage.key, folder, stage.payload, {"name": stage.name, **meta})

    def _made(self, stage: Stage, folder: Path) -> dict[str, Any]:
        """What the stage says about itself. Where it fails, every sentence names the stage."""
        try:
            return stage.build(self.builder, folder)
        except W2SError as error:
            named = [text if text.startswith(stage.name) else f"{stage.name}: {text}" for text in error.problems]
            raise W2SError(named) from error

    def _write_together(self, stage: Stage, started: Clock) -> None:
        """All processes build; they share the main process's temporary folder, which alone commits."""
        with self.store.writing(stage.kind, stage.key) as own:
            shared = Path(self.world.broadcast(str(own)))
            meta = self._made(stage, shared) | started.spent()
            meta["processor_seconds"] = sum(self.world.gather(meta["processor_seconds"]))
            self.world.barrier()
            self.world.on_main(lambda: self._commit(stage, own, meta))
