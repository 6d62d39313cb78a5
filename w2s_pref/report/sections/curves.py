"""Learning curves: training loss of every training stage, seeds over one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Figure, Fold, Guide, Panel, Section
from w2s_pref.report.draw.format import number
from w2s_pref.report.draw.key import line_swatch
from w2s_pref.report.draw.plot import Chart
from w2s_pref.report.draw.svg import extent
from w2s_pref.results.results import Curve, Results

P = TypeVar("P")
#: Panels shown at once; more of them go behind a fold.
SHOWN: Final = 12
#: Points drawn of one curve; a longer one is thinned evenly, keeping its last point.
POINTS: Final = 120
DASHES: Final = ("", "dash1", "dash2", "dash3")
GUIDE: Final = Guide(
    "Training loss against optimizer steps, one line a seed, each panel on its own scale (long curves are thinned). "
    "The dashed level is ln 2, the loss of a coin.",
    "A fall below ln 2 that flattens out, with seeds close together. A line that stays at ln 2 learned nothing.",
)


def section(results: Results) -> Section | None:
    """All curves, grouped by stage."""
    names = list(dict.fromkeys(curve.name for curve in results.curves if curve.step))
    if not names:
        return None
    seeds = sorted({curve.seed for curve in results.curves})
    panels = [panel(name, [c for c in results.curves if c.name == name and c.step], seeds) for name in names]
    key = [*swatches(seeds), (line_swatch("neutral"), "ln 2")]
    blocks: list[Block] = [Figure("Training loss.", panels[:SHOWN], GUIDE, key=key, size="small")]
    if len(panels) > SHOWN:
        rest = Figure("Training loss, further stages.", panels[SHOWN:], GUIDE, key=key, size="small")
        blocks.append(Fold(f"{len(panels) - SHOWN} further stages", [rest]))
    return Section("curves", "Learning curves", blocks, "Learning curves")


def panel(name: str, curves: Sequence[Curve], seeds: Sequence[int]) -> Panel:
    """One training stage."""
    coin = 0.6931
    losses = [loss for curve in curves for loss in curve.loss]
    low, high = extent(losses)
    steps = max(max(curve.step) for curve in curves)
    chart = Chart((0.0, float(steps) or 1.0), (low, high), "step", "loss", width=220, height=180)
    if low <= coin <= high:
        chart.horizontal(coin, "neutral")
    for curve in curves:
        points = list(zip(curve.step, curve.loss, strict=False))
        chart.line(thin(points, POINTS), seed_style(seeds, curve.seed), f"seed {curve.seed}")
    ends = ", ".join(f"seed {c.seed}: {number(c.loss[0])} to {number(c.loss[-1])}" for c in curves if c.loss)
    return Panel(name, chart.render(f"Training loss, {name}", ends))


def thin(points: Sequence[P], most: int) -> list[P]:
    """At most ``most`` points, evenly taken, and the last one."""
    if len(points) <= most:
        return list(points)
    stride = len(points) / most
    return [points[int(index * stride)] for index in range(most)] + [points[-1]]


def seed_style(seeds: Sequence[int], seed: int) -> str:
    """Colour and dashes of a seed's line."""
    place = seeds.index(seed)
    return f"stroke c{place % 6} {DASHES[place % len(DASHES)]}".strip()


def swatches(seeds: Sequence[int]) -> list[tuple[Markup, str]]:
    """The key of the seeds."""
    return [(line_swatch(seed_style(seeds, seed)), f"seed {seed}") for seed in seeds]
