"""What the commands share: the console, options that several have, and files they write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from w2s_pref.core import errors

if TYPE_CHECKING:
    from rich.console import Console

JsonOut = Annotated[Path | None, typer.Option("--json", help="write JSON to this file")]
FigureOut = Annotated[Path | None, typer.Option(help="write the figure to this file (SVG)")]
Seed = Annotated[int, typer.Option(help="seed of the resampling")]


def console() -> Console:
    """A console of the terminal's width."""
    from rich.console import Console

    return Console()


def write_json(path: Path | None, value: Callable[[], Any]) -> None:
    """Write what ``value`` returns, if there is a path."""
    write_text(path, lambda: json.dumps(value(), indent=1, allow_nan=False) + "\n")


def write_text(path: Path | None, text: Callable[[], str]) -> None:
    """Write what ``text`` returns, if there is a path, and say so."""
    if path is not None:
        errors.write_text(path, text())
        print(f"wrote {path}")
