"""What the commands share: the console, options that several have, and files they write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from w2s_pref.core import files
from w2s_pref.core.paths import local_path

if TYPE_CHECKING:
    from rich.console import Console


def path(text: str) -> Path:
    """A path as it was typed, where one can be that."""
    return local_path(text, "the command line")


RecipeFile = Annotated[Path, typer.Argument(parser=path, help="recipe (YAML)")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, nested keys with dots")]
JsonOut = Annotated[Path | None, typer.Option("--json", parser=path, help="write JSON to this file")]
FigureOut = Annotated[Path | None, typer.Option(parser=path, help="write the figure to this file (SVG)")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="seed of the resampling")]


def console() -> Console:
    """A console of the terminal's width."""
    from rich.console import Console

    return Console()


def write_json(file: Path | None, value: Callable[[], Any]) -> None:
    """Write what ``value`` returns, if there is a file."""
    write_text(file, lambda: json.dumps(value(), indent=1, allow_nan=False) + "\n")


def write_text(file: Path | None, text: Callable[[], str]) -> None:
    """Write what ``text`` returns, if there is a path, and say so."""
    if file is not None:
        files.write_text(file, text())
        print(f"wrote {file}")
