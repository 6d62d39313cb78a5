"""``report.html``: one file that holds everything it shows. No script, no network, no number of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from w2s_pref.report.draw.blocks import Section
from w2s_pref.report.draw.format import plain
from w2s_pref.report.sections import SECTIONS
from w2s_pref.results.results import Results


@cache
def environment() -> Environment:
    """Templates of this package, with everything escaped that is not marked as safe by the code that drew it."""
    return Environment(
        loader=PackageLoader("w2s_pref.report", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(results: Results, own: Sequence[Section] = ()) -> str:
    """The whole page as text; the user's own sections stand before the last one, which says where all comes from."""
    *found, last = [section for build in SECTIONS if (section := build(results)) is not None]
    sections = [*found, *own, last]
    template = environment().get_template("report.html.j2")
    return template.render(name=plain(results.name), results=results, sections=sections)


def write(results: Results, path: Path, own: Sequence[Section] = ()) -> None:
    """Write the page at ``path``: whole or not at all."""
    write_page(render(results, own), path)


def write_page(text: str, path: Path) -> None:
    """Write a page: whole or not at all."""
    page = text.encode("utf-8", "replace")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(page)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
