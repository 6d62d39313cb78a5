"""What a stage is given to build with: the store, the processes, and the model that the last stage loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.store import Artifact, Store
from w2s_pref.parallel.world import World

T = TypeVar("T")


class _Stored(Protocol):
    """How the store names a stage."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...


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

    def artifact(self, stage: _Stored) -> Artifact:
        """A finished input, its files checked.

        Raises:
            W2SError: it is not in the store.
        """
        return self._found(stage, self.store.get(stage.kind, stage.key))

    def meta(self, stage: _Stored) -> dict[str, Any]:
        """What a finished stage says about itself; its files are not read, and not fetched.

        Raises:
            W2SError: it is not in the store.
        """
        return self._found(stage, self.store.meta(stage.kind, stage.key))

    def _found(self, stage: _Stored, found: T | None) -> T:
        if found is None:
            raise W2SError(f"stage {stage.name!r} is not in the store {self.store}; run the recipe again")
        return found

    def table(self, stage: _Stored) -> pd.DataFrame:
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
