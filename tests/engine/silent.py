"""A display for tests of the loop."""

from __future__ import annotations

from w2s_pref.engine.stage import Stage


class Silent:
    """Remembers what happened to which stage."""

    def __init__(self) -> None:
        self.events: dict[str, str] = {}

    def stage(self, number: int, total: int, stage: Stage, event: str, seconds: float) -> None:
        self.events[stage.name] = event

    def step(self, done: int, total: int) -> None: ...

    def signal(self, step: int, signals: dict[str, float]) -> None: ...

    def wait(self, sentence: str) -> None: ...
