"""What a stage is: its key, what it reads, how it is built. The engine asks a stage, never its class.

A key is the hash of the stage's kind and version, its own payload, and the keys of its inputs. Not in it: paths,
logging, workers, and how the effective batch is split.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from w2s_pref.core.tables import canonical, digest

if TYPE_CHECKING:
    from w2s_pref.engine.build import Builder


@dataclass(frozen=True, eq=False)
class Stage:
    """Base: a name for people, inputs, a payload that the key hashes, and how the artifact is written.

    ``on_main``: it computes nothing with a model, so the main process builds it alone.
    """

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1
    on_main: ClassVar[bool] = False
    name: str

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
