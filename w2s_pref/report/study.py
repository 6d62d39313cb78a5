"""The report of a kind of study that brings its own sections: one page, without script or network, all text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from w2s_pref.report.draw.blocks import Section
from w2s_pref.report.draw.format import plain
from w2s_pref.report.draw.html import environment, write_page


def write_study(name: str, what: str, sections: Sequence[Section], about: str, path: Path) -> None:
    """Write the page at ``path``, whole or not at all.

    Args:
        name: of the run.
        what: the kind of report, above its name.
        sections: at least one.
        about: last sentences of the page: what intervals mean, what is no error.
    """
    template = environment().get_template("study.html.j2")
    write_page(template.render(name=plain(name), what=what, sections=sections, about=about), path)
