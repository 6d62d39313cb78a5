"""Adjusted lift: the flip rate of the controls is explained by margin *and* ceiling score, not by margin alone.

Matching on the margin alone calls flips selective that depend on what the reference's margin measures badly: true
difficulty, or the strong model's confidence. Here a ridge logistic regression of flip on the controls makes a linear
index of the margin and the ceiling's score; the index takes the margin's place in the smooth lift.

Inside a resample the covariates, their knots and the bins stay; the coefficients are refitted by one Newton step from
those of all rows, and rows find their bins anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from w2s_pref.analysis.deception import lift as lifts
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.logistic import fit, information, products, ridge, updated
from w2s_pref.analysis.stats.stat import PLAIN, Stat
from w2s_pref.core.arrays import Bools, Floats, Ints

#: Scores beyond this many log-odds say no more.
CLIP = 8.0
#: Ridge on all coefficients but the intercept, on standardised columns: .5 rows' worth of information.
RIDGE = 0.5
_INTERCEPT_RIDGE = 1e-6
_DONE = 1e-10
#: Cells of like covariates in which rows are counted: more would not change an interval, and cost time.
MOST_CELLS = 512
_CHUNK = 256
#: Columns of a cell: controls that do not flip, controls that flip, treated.
_COLUMNS = 3
#: In spreads of the index: far above rounding, far below the distance of two rows.
_HAIR = 1e-9
#: Cells of the grid on which edges are found, its shortest length, and edges in one cell beyond which it is no help.
_GRID, _FINEST, _CROWD = 1024, 1e-30, 4


def covariates(margin: Floats, ceiling: Floats, eligible: Bools) -> Floats:
    """(K, N, P) columns of the regression: 1, margin and ceiling score, each with a hinge at its median.

    Scores are clipped at +-8 log-odds and standardised over the eligible rows. With several seeds both scores' means
    over seeds, with their hinges, stand beside them: what all seeds share measures difficulty better. K - 1 columns
    tell the seeds apart: in a seed that went badly students flip more, and its weak model knows less.

    Args:
        margin: (K, N) the reference's score gap over its temperature.
        ceiling: (K, N) the large ceiling's.
        eligible: (K, N) rows the reference gets right.
    """
    scores = [np.clip(margin, -CLIP, CLIP), np.clip(ceiling, -CLIP, CLIP)]
    if len(margin) > 1:
        scores += [np.broadcast_to(each.mean(axis=0), each.shape) for each in scores[:2]]
    columns = [np.ones(margin.shape)]
    columns += [np.broadcast_to(seed[:, None], margin.shape) for seed in np.eye(len(margin))[1:]]
    for score in scores:
        inside = score[eligible]
        spread = inside.std() if len(inside) else 0.0
        if spread > 0:
            standard = (score - inside.mean()) / spread
            columns += [standard, np.maximum(standard - np.median(standard[eligible]), 0.0)]
    return np.stack(columns, axis=-1)


def fitted_index(design: Floats, controls: Bools, flip: Bools) -> Floats:
    """(K, N) log-odds of a flip for every row, as the controls' regression gives them."""
    return np.asarray(design @ _fit(design[controls], flip[controls]))


@dataclass(frozen=True)
class Expected:
    """Flips of the treated, and flips expected of them.

    Attributes:
        flips, expected: with their resamples; ``expected`` is NaN without controls.
    """

    flips: Stat
    expected: Stat

    def but(self, flips: Bools, draw: Resampler) -> Expected:
        """The same controls, and so the same expectation, where other rows (K, N) of the treated flip."""
        (counted,) = draw.sums(flips[..., None].astype(np.float64)).stats(lambda sums: (sums[..., 0],), [PLAIN])
        return Expected(counted, self.expected)


@dataclass(frozen=True)
class Explained:
    """What explains flips: the regression's columns, and rows of like columns in cells.

    Attributes:
        design: (K, N, P), see ``covariates``.
        cell: (K, N) cell of every row, -1 where not eligible.
        means: (cells, P) mean columns.
    """

    design: Floats
    cell: Ints
    means: Floats

    @classmethod
    def by_scores(cls, margin: Floats, ceiling: Floats, eligible: Bools) -> Explained:
        """From log-odds of the reference and of the large ceiling, (K, N) each."""
        design = covariates(margin, ceiling, eligible)
        return cls(design, *cells(design, eligible))

    @cached_property
    def products(self) -> Floats:
        """(K, N, P(P+1)/2), the same for every region that is asked about."""
        return products(self.design)


def expected_flips(
    by: Explained,
    treated: Bools,
    eligible: Bools,
    flip: Bools,
    draw: Resampler,
    bins: int,
    lowered: Floats | None = None,
) -> Expected:
    """Flips of the treated eligible rows against what the other eligible rows' index explains.

    Args:
        by: margin and ceiling score.
        treated, eligible, flip: (K, N); eligible rows all have a cell.
        bins: quantile bins of the index, each cut in ``lift.FINE``.
        lowered: (K, K) weights of the seeds where one is lowered, see ``Sums``.
    """
    design, means = by.design, by.means
    controls = eligible & ~treated
    beta = _fit(design[controls], flip[controls])
    index = design @ beta
    fine, centres = lifts.margin_bins(index, eligible, bins)
    edges = _edges(index[eligible], bins * lifts.FINE)
    sizes = np.bincount(fine[eligible], minlength=len(centres)).astype(np.float64)
    basis = lifts.spline_basis(_between(centres, sizes), sizes)
    width = len(means) * _COLUMNS
    category = np.where(eligible, by.cell + len(means) * np.where(treated, 2, flip), -1)
    values = [information(design, by.products, controls, flip, index), (treated & eligible & flip)[..., None]]
    sums = draw.counts_and_sums(category, width, np.concatenate(values, axis=-1))
    sums = sums if lowered is None else sums.lowered_by(lowered)
    penalty = _penalty(design)

    def statistics(table: Floats) -> tuple[Floats, ...]:
        flat = table.reshape(-1, table.shape[-1])
        parts = [_one_chunk(flat[at : at + _CHUNK]) for at in range(0, len(flat), _CHUNK)]
        flips, expected = (np.concatenate(each).reshape(table.shape[:-1]) for each in zip(*parts, strict=True))
        return flips, expected

    def _one_chunk(flat: Floats) -> tuple[Floats, Floats]:
        place = places(updated(beta, flat[:, width:-1], penalty) @ means.T, edges)
        kept, flipped, cases = _placed(flat[:, :width], place, len(centres))
        return flat[:, -1], lifts.expected_flips(flipped, kept + flipped, cases, basis)

    return Expected(*sums.stats(statistics, [PLAIN, PLAIN]))


def places(values: Floats, edges: Floats) -> Ints:
    """``np.searchsorted(edges, values, side="right")`` of many more values than edges, four times as fast.

    A grid says how many edges lie in lower cells of it; those in a value's own cell are compared with it.
    """
    scale = _GRID / max(float(edges[-1] - edges[0]), _FINEST)

    def on_grid(x: Floats) -> Ints:  # monotone, whatever rounding does
        return np.asarray(np.clip((x - edges[0]) * scale, -1, _GRID).astype(np.int64) + 1)

    crowd = np.bincount(on_grid(edges)).max()
    if crowd > _CROWD:
        return np.searchsorted(edges, values, side="right")
    found = np.searchsorted(on_grid(edges), np.arange(_GRID + 2))[on_grid(values)]
    further = np.append(edges, np.inf)
    for _ in range(crowd):
        found += values >= further[found]
    return found


def _placed(counts: Floats, place: Ints, bins: int) -> list[Floats]:
    """(B, bins) of every column from the counts (B, columns * cells) of cells that lie in the bins ``place``."""
    where = (np.arange(len(counts))[:, None] * bins + place).ravel()
    columns = np.split(counts, _COLUMNS, axis=1)
    tables = [np.bincount(where, column.ravel(), len(counts) * bins) for column in columns]
    return [np.asarray(table, dtype=np.float64).reshape(len(counts), bins) for table in tables]


def _between(centres: Floats, sizes: Floats) -> Floats:
    """Centres of the bins, empty ones between their neighbours: rows of a resample may fall into them."""
    used = np.flatnonzero(sizes)
    return centres if not len(used) else np.interp(np.arange(len(centres)), used, centres[used])


def _edges(index: Floats, bins: int) -> Floats:
    """Inner edges of the fine bins of the eligible rows' index, a hair below: a row on an edge is above it.

    Rounding would else decide, and differently on another processor.
    """
    if not len(index):
        return np.zeros(bins - 1)
    return np.asarray(np.quantile(index, np.linspace(0, 1, bins + 1))[1:-1] - _HAIR * np.ptp(index))


def cells(design: Floats, eligible: Bools, most: int = MOST_CELLS) -> tuple[Ints, Floats]:
    """Rows of like covariates in one cell each, so that a resample need not look at every row.

    The eligible rows of every seed are halved at the median of the column that varies most, and the halves again; few
    rows stay each a cell of their own.

    Returns:
        (K, N) cell of every row, -1 where not eligible, and (cells, P) mean covariates.
    """
    rows = design[eligible]
    place = np.nonzero(eligible)[0]
    while 2 * (place.max(initial=-1) + 1) <= most and len(place) and np.bincount(place).max() > 1:
        place = _halved(rows, place)
    out = np.full(eligible.shape, -1, dtype=np.int64)
    out[eligible] = place
    return out, _means(rows, place)


def _halved(rows: Floats, place: Ints) -> Ints:
    """(R,) the cell of each row where every cell of several rows is cut in two, numbered without gaps."""
    centred = rows - _means(rows, place)[place]
    widest = _means(centred**2, place).argmax(axis=1)
    order = np.lexsort((rows[np.arange(len(rows)), widest[place]], place))
    sizes = np.bincount(place)
    rank = np.arange(len(rows)) - (np.cumsum(sizes) - sizes)[place[order]]
    upper = np.empty(len(rows), dtype=np.int64)
    upper[order] = rank >= (sizes // 2)[place[order]]
    return np.asarray(np.unique(2 * place + upper, return_inverse=True)[1], dtype=np.int64)


def _means(rows: Floats, place: Ints) -> Floats:
    """(cells, P) means of the rows of each cell."""
    totals = [np.bincount(place, weights=column) for column in rows.T]
    return np.stack(totals, axis=-1) / np.maximum(np.bincount(place), 1)[:, None]


def _penalty(design: Floats) -> Floats:
    return ridge(design.shape[-1], _INTERCEPT_RIDGE, RIDGE)


def _fit(design: Floats, flip: Bools) -> Floats:
    """(P,) coefficients of the regression of flip on (rows, P) columns; zeros where there are no rows."""
    if not len(flip):
        return np.zeros(design.shape[-1])
    outcome, once = flip[None].astype(np.float64), np.ones((1, len(flip)))
    return np.asarray(fit(outcome, once, design, _penalty(design), _DONE)[0])
