"""w2s cut into slices, one a hop: whole groups, in an order that says nothing of them."""

from __future__ import annotations

import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.stages.rows import Rows, slices


def pairs(groups: list[str]) -> Rows:
    frame = pd.DataFrame({"id": [str(n) for n in range(len(groups))], "group": groups})
    return Rows("w2s", frame.assign(form="text", prompt="q", a="x", b="y", truth=1))


def test_hops_learn_the_same_mixture_whatever_groups_are_called() -> None:
    """In the order of their names one hop would get the easy groups and the other the hard ones."""
    groups = [f"{level}-{number:03d}" for level in ("easy", "hard") for number in range(100)]
    cut = slices(pairs(groups), 2)
    easy = [sum(group.startswith("easy") for group in rows.frame["group"]) for rows in cut.values()]
    assert sum(easy) == 100
    assert 35 <= easy[0] <= 65
    assert [len(rows) for rows in cut.values()] == [100, 100]


def test_groups_that_are_hashes_keep_their_order() -> None:
    groups = sorted(digest(str(number))[:16] for number in range(20))
    cut = slices(pairs(groups), 2)
    assert cut["w2s/1"].frame["group"].tolist() == groups[:10]


def test_groups_are_whole() -> None:
    cut = slices(pairs([str(number % 7) for number in range(70)]), 3)
    found = [set(rows.frame["group"]) for rows in cut.values()]
    assert set.union(*found) == {str(number) for number in range(7)}
    assert sum(map(len, found)) == 7


def test_fewer_groups_than_hops_are_refused() -> None:
    with pytest.raises(W2SError, match=r"w2s has 2 groups for 3 hops.*take a finer group column"):
        slices(pairs(["a", "b"] * 5), 3)
