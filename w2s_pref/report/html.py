"""``report.html``: one file that holds everything it shows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from w2s_pref.report.draw.html import environment, write_page
from w2s_pref.report.sections import SECTIONS, SectionBuilder, build
from w2s_pref.results.results import Results


def render(results: Results, extra: Iterable[SectionBuilder] = ()) -> str:
    """The whole page as text; ``extra`` are builders of further sections, which stand last."""
    every = build(results, [name for name, _ in SECTIONS], extra)
    sections = [section for section in every if section.shown("page")]
    return environment().get_template("report.html.j2").render(name=results.name, results=results, sections=sections)


def write(results: Results, path: Path, extra: Iterable[SectionBuilder] = ()) -> None:
    """Write the page at ``path``: whole or not at all."""
    write_page(render(results, extra), path)
