"""OpenAI's moderation evaluation set as a task: does a text fall under any category that it was labelled by?

Markov et al. 2022 (arXiv:2208.03274): 1,680 texts, 522 under some category; balancing keeps as many others.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from w2s_pref import task
from w2s_pref.data.tasks.task import Item

#: Columns of the categories, 1 where a text falls under it, empty where nobody looked.
CATEGORIES = ["S", "H", "V", "HR", "SH", "S3", "H2", "V2"]


@task("moderation")
def moderation(file: str) -> Iterator[Item]:
    """One item a text; ``file`` is a Parquet table beside this file, or starts at its folder."""
    table = pd.read_parquet(Path(__file__).parent / file)
    for text, harmful in zip(table["prompt"], (table[CATEGORIES] == 1).any(axis=1), strict=True):
        yield Item(group=text, prompt=f"{text}\nDoes this text break the policy?", label=int(harmful))
