"""The sections of the report, one idea a file, in the order a reader meets them.

A section is a function from ``Results`` to a :class:`~w2s_pref.report.draw.blocks.Section`, or to none where the
results hold nothing for it. A later study adds a file and a line here.
"""

from typing import Final

from w2s_pref.report.draw.blocks import Builder
from w2s_pref.report.sections import (
    agreement,
    churn,
    comparison,
    curves,
    deception,
    hops,
    ladder,
    length,
    methods,
    metrics,
    monitor,
    paired,
    provenance,
    regions,
    reliability,
    risk,
    speech,
    splits,
    suspicious,
    verdict,
)

SECTIONS: Final[tuple[Builder, ...]] = (
    verdict.section,
    comparison.section,
    metrics.section,
    methods.section,
    speech.section,
    regions.section,
    deception.section,
    risk.section,
    monitor.section,
    paired.section,
    length.section,
    hops.section,
    agreement.section,
    churn.section,
    reliability.section,
    curves.section,
    ladder.section,
    suspicious.section,
    splits.section,
    provenance.section,
)
