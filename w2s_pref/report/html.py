"""Pages of one file that hold everything they show, without script or network, all text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from w2s_pref.report import paging
from w2s_pref.report.draw.blocks import Section
from w2s_pref.report.draw.format import plain
from w2s_pref.report.draw.html import environment, write_page
from w2s_pref.report.glossary import GENERALIZATION, TERMS, Linker, Term
from w2s_pref.report.glossary import section as glossary
from w2s_pref.report.sections import SECTIONS, SectionBuilder, build
from w2s_pref.results.preferences import Results

#: Folder of the pages of details, beside the report.
DETAILS = "details"


def render(results: Results, extra: Iterable[SectionBuilder] = ()) -> str:
    """The whole page as text; ``extra`` are builders of further sections, which stand last."""
    return _render(results, _sections(results, extra))


def write(results: Results, path: Path, extra: Iterable[SectionBuilder] = ()) -> None:
    """Write the page at ``path``, whole or not at all; what is too long for it goes to pages of its own beside it."""
    sections = _sections(results, extra)
    for section in sections:
        for number in range(paging.pages(section)):
            shown = paging.part(section, number * paging.EACH, (number + 1) * paging.EACH)
            page = path.parent / DETAILS / paging.page_name(section, number)
            what = f"details: {section.title}, part {number + 1} of {paging.pages(section)}"
            _write_study(results.name, what, [shown, glossary()], f"Part of {path.name}.", page, TERMS)
    write_page(_render(results, sections), path)


def _sections(results: Results, extra: Iterable[SectionBuilder]) -> list[Section]:
    every = build(results, [name for name, _ in SECTIONS], extra)
    return [section for section in every if section.shown("page")]


def _render(results: Results, sections: Sequence[Section]) -> str:
    template = environment().get_template("report.html.j2")
    shown = [paging.summarised(section, DETAILS) for section in sections]
    return template.render(name=results.name, results=results, sections=shown, linked=Linker(TERMS))


def write_study(name: str, what: str, sections: Sequence[Section], about: str, path: Path) -> None:
    """Write the page at ``path``, whole or not at all.

    Args:
        name: of the run.
        what: the kind of report, above its name.
        sections: at least one.
        about: last sentences of the page: what intervals mean, what is no error.
    """
    _write_study(name, what, [*sections, glossary(GENERALIZATION)], about, path, GENERALIZATION)


def _write_study(
    name: str, what: str, sections: Sequence[Section], about: str, path: Path, terms: Sequence[Term]
) -> None:
    template = environment().get_template("study.html.j2")
    text = template.render(name=plain(name), what=what, sections=sections, about=about, linked=Linker(terms))
    write_page(text, path)
