"""What a kind of study is, and where kinds are found: in this package, in an installed one, in a folder of yours.

A kind is one object, ``KIND``. The folders beside this file export theirs, and nothing here names what is in them.
To add a kind, write a folder whose ``__init__.py`` exports ``KIND``, and name it in a recipe: ``kind: my_folder``; or
install a package that offers it as an entry point of the group ``w2s_pref.kinds``, named as the recipe's top-level key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel

from w2s_pref.core.errors import W2SError
from w2s_pref.core.references import did_you_mean, is_reference, locate, looked_in, resolve
from w2s_pref.core.strict import StudySection
from w2s_pref.core.user_files import keyed_texts
from w2s_pref.data.config import Prepared
from w2s_pref.engine.stage import Builder, Stage, ordered
from w2s_pref.engine.store import Store
from w2s_pref.models.info import ModelFacts
from w2s_pref.stages.rows import Rows

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


#: Top-level key of a recipe → the kind of study that it makes it.
BUILT_IN: Final = {
    "tasks": "w2s_pref.studies.generalization:KIND",
    "chess": "w2s_pref.studies.chess:KIND",
    "data": "w2s_pref.studies.preferences:KIND",
}
#: What results.json calls a kind, where that is not the recipe's key.
NAMES: Final = {"generalization": "tasks", "preferences": "data"}
#: Entry points of installed packages: name = the recipe's key, value = ``module:attr`` of the kind.
GROUP: Final = "w2s_pref.kinds"


class Tested(NamedTuple):
    """Size of a test set, before anything is trained."""

    items: int
    groups: int
    seeds: int


class Study(Protocol):
    """The graph of a study, as far as every command needs to know it."""

    @property
    def models(self) -> Mapping[str, ModelFacts]:
        """Models by the recipe's names; empty where a kind trains none."""

    @property
    def rows(self) -> Mapping[str, Rows]:
        """Splits by the names that the plan shows."""

    @property
    def tokens(self) -> dict[str, Any]:
        """Token limits of every stage: ``max_length``, ``overlong``."""

    @property
    def targets(self) -> Sequence[Stage]:
        """What is to be built, with everything it needs. The order of building follows this one."""


R = TypeVar("R", bound=StudySection)
S = TypeVar("S", bound=Study)
F = TypeVar("F", bound=BaseModel)


@dataclass(frozen=True)
class StudyKind(Generic[R, S, F]):
    """A kind of study.

    Attributes:
        key: top-level key that makes a recipe one of this kind; its results.json has it as ``kind``.
        recipe: schema of its recipes.
        results: schema of its results.json. What has ``verdict.headline`` and ``provenance.created`` is listed with
            them by ``w2s status``.
        open: (recipe, its folder, planning) → the graph and the data it is made of. Loads no weights. While planning,
            data that cannot be reached may be stood in for, with a note.
        finish: (opened, builder, folder, command) → the results, when every stage stands. Writes tables and pages into
            ``folder``, which becomes the run folder only when all is written.
        show: (results, run folder, console): prints a finished run.
        compare: several results side by side; None where that says nothing.
        tested: opened → size of the test set on which students are judged deceptive; None where a kind does not.
        body: (results, run folder) → what sections of the user's own are given, where it is not the results.
    """

    key: str
    recipe: type[R]
    results: type[F]
    open: Callable[[R, Path, bool], tuple[S, Prepared]]
    finish: Callable[[Opened[R, S], Builder, Path, str], F]
    show: Callable[[F, Path, Console], None]
    compare: Callable[[Sequence[F]], Iterable[RenderableType]] | None = None
    tested: Callable[[Opened[R, S]], Tested] | None = None
    body: Callable[[F, Path], BaseModel] = lambda results, _folder: results

    @property
    def name(self) -> str:
        """What results.json calls it."""
        return next((name for name, key in NAMES.items() if key == self.key), self.key)


AnyKind = StudyKind[Any, Any, Any]


@dataclass
class Opened(Generic[R, S]):
    """A recipe with its data read, its graph built and its store found.

    ``named`` is how the recipe names its kind, where its keys do not say it; ``notes``: what this machine
    decided; ``code``: files of the user's code, and the hashes of the texts that the keys hold.
    """

    kind: StudyKind[R, S, Any]
    recipe: R
    base: Path
    prepared: Prepared
    study: S
    store: Store
    named: str = ""
    notes: list[str] = field(default_factory=list)
    code: dict[Path, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.recipe.output).expanduser() / self.recipe.name

    @property
    def stages(self) -> list[Stage]:
        """Every stage in building order."""
        with keyed_texts(self.code):
            return all_stages(self.study)


AnyOpened = Opened[Any, Any]


def all_stages(study: Study) -> list[Stage]:
    """Every stage in building order."""
    return ordered(list(study.targets))


def known() -> dict[str, str]:
    """Key → ``module:attr`` of every kind that needs no path; installed ones are asked first."""
    installed = {point.name: point.value for point in entry_points(group=GROUP) if point.name not in BUILT_IN}
    return {**installed, **BUILT_IN}


def needs_no_path(name: str) -> bool:
    """Whether a kind of this name, or key, is built in or installed."""
    key = NAMES.get(name, name)
    return key in BUILT_IN or key in known()


def kind_of_recipe(raw: Mapping[str, Any], base: Path) -> AnyKind:
    """The kind that a recipe's ``kind`` names, or the first one whose key it has; else the study of preferences.

    Args:
        base: folder of the recipe, where ``kind`` is looked up.
    """
    if "kind" in raw:
        return find(str(raw["kind"]), base)
    kinds = known()
    return _load(next((kinds[key] for key in kinds if key in raw), BUILT_IN["data"]), base)


def find(name: str, base: Path) -> AnyKind:
    """A kind by its name or key, its folder, ``module:attr`` or ``file.py:attr``.

    Raises:
        W2SError: there is none, or what is there is no kind of study.
    """
    key = NAMES.get(name, name)
    place = BUILT_IN.get(key) or known().get(key) or _place(name, base)
    if place is None:
        names = sorted({*known(), *NAMES} - set(NAMES.values()))
        raise W2SError(
            f"kind: there is no kind of study {name!r}{did_you_mean(name, names)} (known: {', '.join(names)}), and no "
            f"folder of that name with an __init__.py in {looked_in(base)}"
        )
    return _load(place, base)


def lasting(name: str, base: Path) -> str:
    """The same kind, named so that it is found from anywhere: paths become absolute."""
    if needs_no_path(name):
        return name
    where, _, attr = name.rpartition(":")
    if where.endswith(".py"):
        return f"{locate(where, base)}:{attr}"
    return name if is_reference(name) else str(locate(name, base))


def _place(name: str, base: Path) -> str | None:
    if is_reference(name):
        return name
    folder = locate(name, base)
    return f"{folder}/__init__.py:KIND" if folder is not None and (folder / "__init__.py").is_file() else None


def _load(place: str, base: Path) -> AnyKind:
    found = resolve(place, base)
    if not isinstance(found, StudyKind):
        raise W2SError(f"kind: {place} is of type {type(found).__name__}; export a w2s_pref.studies.kind.StudyKind")
    return found
