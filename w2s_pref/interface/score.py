"""Score any pairs with any reward model, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import pandas as pd

from w2s_pref.interface.scoring import Model, Pairs, Scoring, board_json, scored

if TYPE_CHECKING:
    from w2s_pref.analysis.scores.benchmarks import Board
    from w2s_pref.data.benchmarks import BenchmarkName


def score(
    model: Model,
    pairs: Pairs,
    by: str | None = None,
    *,
    benchmark: BenchmarkName | None = None,
    name: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    max_length: int | None = None,
    split: str | None = None,
    seed: int = 0,
    objective: str = "target",
    unknown_tokens: Literal["error", "warn"] = "error",
) -> pd.DataFrame:
    """Score pairs with a reward model: what ``w2s score`` does, as a table in memory.

    Args:
        model: folder of a saved reward model (as in ``students/`` of a run), or a model and its tokenizer.
        pairs: prompt, chosen, rejected in any form that ``docs/data.md`` shows, as a table or by its place; or
            ``reward-bench``, ``reward-bench-2`` (from the hub).
        by: a column of the pairs; then the result is the accuracy in each of its groups.
        benchmark: the pairs are rows of this benchmark as the hub has them (a table, or their file); then the result
            is its score by its own rules, its sections and subsets.
        name: of the model in the table; by default the folder's name.
        columns: our name → yours, such as ``{"chosen": "better"}``.
        max_length: longest text in tokens, prompts cut from the left; by default what a student was trained and judged
            with (``data.max_length``), of other models 512, of benchmarks 2,048.
        split: of a hub data set or of saved splits.
        seed, objective: written into the table.
        unknown_tokens: more than 20 % of the tokens are unknown to the model: an error, or a warning.

    Returns:
        A row for every pair: a score table (``id, group, model, seed, delta, tau, objective, kind``) with
        ``score_chosen, score_rejected``, the texts, and every other column of the pairs. With ``by`` a row for every
        group and one for ``all``, of a benchmark a row for every line of its score: ``part``, ``rows``, ``accuracy``
        (with ``by`` a tie counts one half) and the ends ``low, high`` of its 95 % interval over resampled groups.
        ``attrs`` of such a table hold ``board`` (what ``w2s score --json`` writes), with the notes.

    Raises:
        W2SError: no such model, bad pairs, pairs that it cannot read, no column ``by``, no such benchmark.
    """
    scoring = Scoring(model, pairs, name, seed, objective, columns or {}, max_length, split, benchmark, unknown_tokens)
    table, board = scored(scoring, by)
    return table if board is None else board_frame(board, by)


def board_frame(board: Board, by: str | None) -> pd.DataFrame:
    """A row for every line: ``part, rows, accuracy, low, high``; undefined numbers are NaN."""
    bounds = [line.accuracy.interval or (None, None) for line in board.lines]
    frame = pd.DataFrame(
        {
            "part": [line.part for line in board.lines],
            "rows": [line.rows for line in board.lines],
            "accuracy": pd.Series([line.accuracy.estimate for line in board.lines], dtype=float),
            "low": pd.Series([low for low, _ in bounds], dtype=float),
            "high": pd.Series([high for _, high in bounds], dtype=float),
        }
    ).set_index(pd.Index([line.name for line in board.lines], name=by or board.title))
    frame.attrs["board"] = board_json(board)
    return frame
