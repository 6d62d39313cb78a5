"""The region of a test item is what two ceilings know of it: without a score of both it has none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pandas as pd

from w2s_pref.interface.tables import regions
from w2s_pref.results.preferences import Results

RESULTS = cast(
    Results,
    SimpleNamespace(
        recipe={}, objectives={"target": "safe"}, arms=[SimpleNamespace(name="direct", chain=["weak", "strong"])]
    ),
)


def scores(left_out: set[tuple[str, str]]) -> pd.DataFrame:
    deltas = {"ceiling/weak": [5, 5, -5, -5], "ceiling/strong": [5, -5, 5, -5], "direct/none": [1, 1, 1, 1]}
    rows = [
        {"id": f"i{n}", "model": model, "seed": 0, "delta": float(delta), "tau": 1.0, "objective": "safe"}
        for model, each in deltas.items()
        for n, delta in enumerate(each)
        if (model, f"i{n}") not in left_out
    ]
    return pd.DataFrame(rows)


def test_an_item_that_a_ceiling_has_no_score_of_has_no_region() -> None:
    """Items too long for one model are left out for it; they were called known."""
    whole = scores(set())
    told = dict(zip(whole["id"], regions(whole, RESULTS), strict=True))
    assert told == {"i0": "sk_wk", "i1": "suk_wk", "i2": "sk_wuk", "i3": "suk_wuk"}
    for ceiling in ("ceiling/weak", "ceiling/strong"):
        table = scores({(ceiling, "i3")})
        found = regions(table, RESULTS)
        student = table["model"] == "direct/none"
        assert found[student].tolist()[:3] == ["sk_wk", "suk_wk", "sk_wuk"]
        assert found[student].isna().tolist() == [False, False, False, True]
