"""The sections of the report, one subject a file, in the order a reader meets them.

A section is a function from ``Results`` to a :class:`~w2s_pref.report.draw.blocks.Section`, or to none where the
results hold nothing for it. It is written once: the page and the terminal both render its blocks. A later study adds a
file and a line here; who renders may add further functions.
"""

from collections.abc import Callable, Iterable
from typing import Final

from w2s_pref.core.errors import W2SError
from w2s_pref.report import glossary
from w2s_pref.report.draw.blocks import Section
from w2s_pref.report.sections import (
    argument_effects,
    comparison,
    controls,
    costs,
    deception,
    disagreement,
    ladder,
    length,
    methods,
    metrics,
    paired,
    parts,
    provenance,
    regions,
    reliability,
    risk,
    speech,
    supervision,
    suspicious,
    training,
    verdict,
)
from w2s_pref.results.preferences import Results

SectionBuilder = Callable[[Results], Section | None]

#: Name and builder of every section, in order; the name is the anchor on the page.
SECTIONS: Final[tuple[tuple[str, SectionBuilder], ...]] = (
    ("verdict", verdict.section),
    ("comparison", comparison.section),
    ("own-metrics", metrics.section),
    ("parts", parts.section),
    ("methods", methods.section),
    ("costs", costs.section),
    ("speech", speech.section),
    ("regions", regions.section),
    ("deception", deception.section),
    ("controls", controls.section),
    ("risk", risk.section),
    ("monitor", training.monitor),
    ("paired", paired.section),
    ("length", length.section),
    ("hops", supervision.hops),
    ("rounds", supervision.rounds),
    ("arguments", argument_effects.section),
    ("disagreement", disagreement.section),
    ("agreement", supervision.agreement),
    ("churn", deception.churn),
    ("reliability", reliability.section),
    ("curves", training.curves),
    ("ladder", ladder.section),
    ("suspicious", suspicious.section),
    ("data", provenance.data),
    ("provenance", provenance.section),
    ("glossary", lambda results: glossary.section()),
    ("warnings", verdict.warnings),
)


def build(results: Results, names: Iterable[str], extra: Iterable[SectionBuilder] = ()) -> list[Section]:
    """The sections of these names in this order, then those of further functions, as far as results hold them.

    Raises:
        W2SError: a further section has the name of another one.
    """
    builders = dict(SECTIONS)
    found = [builders[name](results) for name in names]
    taken = set(builders)
    for make in extra:
        section = make(results)
        if section is not None and section.id in taken:
            raise W2SError(f"two sections of the report are called {section.id!r}; give yours another id")
        taken |= {section.id} if section is not None else set()
        found.append(section)
    return [section for section in found if section is not None]
