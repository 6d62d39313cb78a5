"""Finished runs of any kind of study: read, shown, compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from w2s_pref.core.errors import W2SError
from w2s_pref.core.yaml_io import load_yaml
from w2s_pref.results.read import kind_named, read_file, results_file
from w2s_pref.studies.kind import AnyKind, find, needs_no_path

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


class Finished(NamedTuple):
    """A finished run: its kind, what its results.json says, and its folder."""

    kind: AnyKind
    results: Any
    folder: Path


def read_run(path: Path) -> Finished:
    """A run folder or its results.json.

    Raises:
        W2SError: not there, damaged, written by another version of the schema, or of a kind that is not here.
    """
    file = results_file(path)
    kind = _kind(path, file)
    model: type[BaseModel] = kind.results
    return Finished(kind, read_file(file, model, path), file.parent)


def _kind(path: Path, file: Path) -> AnyKind:
    """By the name that results.json has for it, or as the recipe beside it names it."""
    name = kind_named(file)
    if needs_no_path(name):
        return find(name, file.parent)
    recipe = file.with_name("recipe.yaml")
    named = load_yaml(recipe).get("kind") if recipe.is_file() else None
    if named is None:
        raise W2SError(
            f"run {path}: a study of kind {name!r}, which is neither built in nor installed; install the package that "
            f"offers it, or name its folder in {recipe}: kind: FOLDER"
        )
    return find(str(named), file.parent)


@contextmanager
def consistent(what: str) -> Iterator[None]:
    """Within the block, files of finished runs that anybody may have edited are shown.

    Raises:
        W2SError: they follow their schema, and yet what they say does not go together.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError) as error:
        raise W2SError(
            f"{what}: its results follow their schema, but do not go together ({type(error).__name__}: {error}); "
            "they were edited, or another version wrote them; run the recipe again (what stands in the store is not "
            "computed again)"
        ) from error


def show_run(path: Path, console: Console, base: Path = Path()) -> None:
    """Print a finished run, and the sections of the recipe's own.

    Args:
        base: where the files of these sections are looked up.
    """
    kind, results, folder = read_run(path)
    kind.show(results, folder, console)
    report = getattr(results, "recipe", {}).get("report") or {}
    names = report.get("sections") or []
    if names:
        _show_sections(names, kind.body(results, folder), base, console)


def _show_sections(names: Sequence[str], results: Any, base: Path, console: Console) -> None:
    from w2s_pref.report.draw.terminal import section_parts
    from w2s_pref.report.registry import builders

    for name in names:
        try:
            parts = [part for make in builders([name], base) for part in section_parts(make(results))]
        except W2SError as error:  # a finished run is shown where its recipe's files are not, too
            parts = [f"section {name}: not shown: {error}"]
        for part in parts:
            console.print(part, markup=False)


def compare_runs(paths: Sequence[Path]) -> Iterable[RenderableType]:
    """Runs of one kind side by side.

    Raises:
        W2SError: a run that cannot be read, runs of several kinds, or of a kind that has no comparison.
    """
    runs = [read_run(path) for path in paths]
    kinds = {run.kind.name: run.kind for run in runs}
    if len(kinds) > 1:
        each = ", ".join(f"{path}: {run.kind.name}" for path, run in zip(paths, runs, strict=True))
        raise W2SError(f"compare: these are different kinds of study ({each}); compare runs of one kind")
    ((name, kind),) = kinds.items()
    if kind.compare is None:
        raise W2SError(f"compare: studies of kind {name} have no comparison; `w2s show {paths[0]}` prints one run")
    return kind.compare([_with_defaults(run) for run in runs])


def _with_defaults(run: Finished) -> Any:
    """The results, their recipe with every key that this version has: what an older one did not know differs not."""
    recipe = getattr(run.results, "recipe", None)
    if not isinstance(recipe, dict):
        return run.results
    model: type[BaseModel] = run.kind.recipe
    try:
        whole = model.model_validate({key: value for key, value in recipe.items() if key != "kind"})
    except (W2SError, ValueError):  # of another version, or edited: as it is
        return run.results
    return run.results.model_copy(update={"recipe": whole.model_dump(mode="json")})
