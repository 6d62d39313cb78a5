"""The pairs that the tables of a run folder are about, with their texts and the columns that their source carried."""

from __future__ import annotations

from typing import Final

import pandas as pd
import pyarrow as pa

from w2s_pref.core.tables import RAW_SCORES, SCORE_COLUMNS, SCORE_OPTIONAL
from w2s_pref.data.columns import own_columns
from w2s_pref.studies.preferences.analyze import LABEL_COLUMNS
from w2s_pref.studies.preferences.study import TESTS, Study

#: Columns of ``pairs.parquet`` before those of the source.
COLUMNS: Final = ("id", "group", "objective", "split", "form", "prompt", "chosen", "rejected")
#: Names that the tables of a run have for something else; a column of the pairs is then ``pairs.NAME``.
TAKEN: Final = {*COLUMNS, *SCORE_COLUMNS, *SCORE_OPTIONAL, *RAW_SCORES, *LABEL_COLUMNS, "sure", "arm", "region"}


def pair_table(study: Study) -> pd.DataFrame:
    """Every pair that was tested on or labelled, a row each: ``COLUMNS``, then what else its source held.

    ``chosen`` is the ground-truth answer (the more probable one, where that is a probability). Conversations are JSON.
    """
    labelled = {stage.scores.on.name.partition("/")[0] for stage in study.labels.values()}
    tables = [_texts(name, rows.frame) for name, rows in study.rows.items() if name in {*TESTS, *labelled}]
    together = pd.concat(tables, ignore_index=True)
    return together.assign(**{str(name): _one_type(together[name]) for name in together.columns})


def _texts(split: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The pairs of one split, the true answer first."""
    first = frame["truth"] == 1
    chosen, rejected = frame["a"].where(first, frame["b"]), frame["b"].where(first, frame["a"])
    named = frame.assign(split=split, chosen=chosen, rejected=rejected)[list(COLUMNS)]
    return named.join(own_columns(frame, TAKEN))


def _one_type(column: pd.Series) -> pd.Series:  # type: ignore[type-arg]
    """The column as a Parquet file can hold it: text, where the sources of two objectives differ in its type."""
    try:
        pa.array(column, from_pandas=True)
    except pa.ArrowException:
        return column.map(str, na_action="ignore").astype(object)
    return column
