"""Two objectives on the same kind of texts: which event is more pleasant (ETHICS, utilitarianism), and which is longer.

The pairs are cut in two: those before ``FIRST`` teach and test pleasantness, those behind it length, without a pair
that shares a text with the first part, or the words that its two texts begin with, and without pairs of equal length.
In the file the longer event is the less pleasant one in 45 % of the pairs, the more pleasant one in 39 %.
"""

from pathlib import Path

import pandas as pd

from w2s_pref import dataset
from w2s_pref.core.hub import hub_rows
from w2s_pref.data.chat import prompt_end

FIRST = 10_000


#: On the hub, where a recipe names no file.
HUB = "hendrycks/ethics"


def _pairs(file: str | None, recipe_folder: Path) -> pd.DataFrame:
    """Columns better and worse."""
    if file is not None:
        return pd.read_parquet(recipe_folder / file).drop_duplicates()
    where = {"name": "utilitarianism", "split": "train", "revision": "refs/convert/parquet"}
    rows: pd.DataFrame = hub_rows(HUB, "utilitarianism", **where).to_pandas()
    return rows.rename(columns={"baseline": "better", "less_pleasant": "worse"})[["better", "worse"]].drop_duplicates()


def _beginning(better: str, worse: str) -> str:
    """The words that both texts begin with: their prompt, where a recipe names none."""
    return better[: prompt_end(better, worse)]


@dataset("ethics-pleasant")
def pleasant(recipe_folder: Path, file: str | None = None) -> pd.DataFrame:
    """The more pleasant of two events."""
    return _pairs(file, recipe_folder)[:FIRST].rename(columns={"better": "chosen", "worse": "rejected"})


@dataset("ethics-longer")
def longer(recipe_folder: Path, file: str | None = None) -> pd.DataFrame:
    """The longer of two events, in words: an objective that ignores how pleasant they are."""
    pairs = _pairs(file, recipe_folder)
    read = set(pairs[:FIRST].stack())
    rest: pd.DataFrame = pairs[FIRST:]
    begun = {_beginning(*texts) for texts in pairs[:FIRST].itertuples(index=False)} - {""}
    rest = rest[[_beginning(*texts) not in begun for texts in rest.itertuples(index=False)]]
    rest = rest[~rest["better"].isin(read) & ~rest["worse"].isin(read)]
    words = rest.apply(lambda texts: texts.str.split().str.len())
    longer_better, longer_worse = words["better"] > words["worse"], words["better"] < words["worse"]
    parts: list[pd.DataFrame] = [
        rest[longer_better].rename(columns={"better": "chosen", "worse": "rejected"}),
        rest[longer_worse].rename(columns={"worse": "chosen", "better": "rejected"}),
    ]
    return pd.concat(parts)
