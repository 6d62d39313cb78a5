"""What a stage is (its key, what it reads, how it is built), and what it is given to build with.

The engine asks a stage, never its class. A key is the hash of the stage's kind and version, its own payload, and the
keys of its inputs. Not in it: paths, logging, workers, and how the effective batch is split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import pandas as pd

from w2s_pref.core.errors import StageMissing
from w2s_pref.core.tables import canonical, digest
from w2s_pref.engine.store import Artifact, Store
from w2s_pref.parallel.world import World


@dataclass(frozen=True, eq=False)
class Stage:
    """Base: a name for people, inputs, a payload that the key hashes, and how the artifact is written.

    ``on_main``: it computes nothing with a model, so the main process builds it alone. ``weights``: it writes a model,
    whose ``.safetensors`` only stages read that are not ``on_main``.
    """

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1
    on_main: ClassVar[bool] = False
    weights: ClassVar[bool] = False
    name: str

    def __init_subclass__(cls, **options: Any) -> None:
        """Stages share inputs: written out with all their fields, a deep graph would take for ever."""
        super().__init_subclass__(**options)
        cls.__repr__ = Stage.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def inputs(self) -> dict[str, Stage]:
        """Stages this one reads."""
        return {}

    @property
    def payload(self) -> dict[str, Any]:
        """Everything else that decides the result."""
        return {}

    @property
    def rows(self) -> int:
        """Rows it works on, for the plan: those of ``on``, where it names a split so."""
        return len(getattr(self, "on", ()))

    @cached_property
    def key(self) -> str:
        """64 hex digits."""
        inputs = {name: stage.key for name, stage in self.inputs.items()}
        return digest(self.kind, str(self.version), canonical(self.payload), canonical(inputs))

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """Write the files of the artifact into ``folder``, and return what the stage says about itself.

        Every process calls it, unless the stage is built ``on_main``; the main process writes.
        """
        raise NotImplementedError(f"{type(self).__name__} is never built")

    def check(self, processes: int) -> None:
        """Refuse, before anything is built, a launch of so many processes that this stage cannot work in.

        Raises:
            W2SError: what does not go together, and how to mend it.
        """


T = TypeVar("T")


def present(**parts: T | None) -> dict[str, T]:
    """The parts that a stage has, by name: of one that it has not, neither inputs nor payload say anything."""
    return {name: part for name, part in parts.items() if part is not None}


def payloads(**parts: Any) -> dict[str, Any]:
    """What is decided by the parts that a stage has, by name."""
    return {name: part.payload for name, part in present(**parts).items()}


def ordered(targets: list[Stage]) -> list[Stage]:
    """Every stage the targets need, inputs first, each key once."""
    seen: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key in seen:
            return
        for parent in stage.inputs.values():
            visit(parent)
        seen[stage.key] = stage

    for target in targets:
        visit(target)
    return list(seen.values())


@dataclass
class Builder:
    """One for a run, in every process.

    Attributes:
        base: folder of the recipe.
        progress: called with (done, total) steps of a training.
        signal: called with a step and the monitor's signals there.
        made: keys of stages that were built along with another one.
    """

    store: Store
    world: World
    base: Path
    progress: Callable[[int, int], None] | None = None
    signal: Callable[[int, dict[str, float]], None] | None = None
    made: set[str] = field(default_factory=set, repr=False)
    _models: tuple[str, Any] | None = field(default=None, repr=False)

    def artifact(self, stage: Stage) -> Artifact:
        """A finished input, its files checked.

        Raises:
            StageMissing: it is not in the store.
        """
        return self._found(stage, self.store.get(stage.kind, stage.key))

    def meta(self, stage: Stage) -> dict[str, Any]:
        """What a finished stage says about itself; its files are not read, and not fetched.

        Raises:
            StageMissing: it is not in the store.
        """
        return self._found(stage, self.store.meta(stage.kind, stage.key))

    def _found(self, stage: Stage, found: T | None) -> T:
        if found is None:
            raise StageMissing(f"stage {stage.name!r} is not in the store {self.store}; run the recipe again")
        return found

    def table(self, stage: Stage) -> pd.DataFrame:
        """The table of a stage that writes one."""
        return pd.read_parquet(self.artifact(stage).folder / "table.parquet")

    def recall(self, key: str, load: Callable[[], T]) -> T:
        """What was remembered under this key; else what ``load`` returns, in its place."""
        if self._models is None or self._models[0] != key:
            self.forget_models()  # before the next is loaded: there may not be room for both
            self.remember(key, load())
        assert self._models is not None
        return cast(T, self._models[1])

    def remember(self, key: str, models: object) -> None:
        """Leave what this stage loaded in memory for the stages that come next; one key at a time."""
        self._models = (key, models)

    def forget_models(self) -> None:
        """Make room in memory: a training needs it."""
        self._models = None
