"""Pages of one file that hold everything they show, without script or network, all text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from w2s_pref.report.draw.blocks import Section
from w2s_pref.report.draw.format import plain
from w2s_pref.report.draw.html import environment, write_page
from w2s_pref.report.glossary import GENERALIZATION, TERMS, Linker
from w2s_pref.report.glossary import section as glossary
from w2s_pref.report.sections import SECTIONS, SectionBuilder, build
from w2s_pref.results.preferences import Results


def render(results: Results, extra: Iterable[SectionBuilder] = ()) -> str:
    """The whole page as text; ``extra`` are builders of further sections, which stand last."""
    every = build(results, [name for name, _ in SECTIONS], extra)
    sections = [section for section in every if section.shown("page")]
    template = environment().get_template("report.html.j2")
    return template.render(name=results.name, results=results, sections=sections, linked=Linker(TERMS))


def write(results: Results, path: Path, extra: Iterable[SectionBuilder] = ()) -> None:
    """Write the page at ``path``: whole or not at all."""
    write_page(render(results, extra), path)


def write_study(name: str, what: str, sections: Sequence[Section], about: str, path: Path) -> None:
    """Write the page at ``path``, whole or not at all.

    Args:
        name: of the run.
        what: the kind of report, above its name.
        sections: at least one.
        about: last sentences of the page: what intervals mean, what is no error.
    """
    template = environment().get_template("study.html.j2")
    every, linked = [*sections, glossary(GENERALIZATION)], Linker(GENERALIZATION)
    write_page(template.render(name=plain(name), what=what, sections=every, about=about, linked=linked), path)
