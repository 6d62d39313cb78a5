"""``w2s score --column OURS=THEIRS`` says what ``columns`` of a recipe says."""

from __future__ import annotations

import pytest

from w2s_pref.cli.score import _columns
from w2s_pref.core.errors import W2SError


def test_null_leaves_a_column_out() -> None:
    """What sentences advise, columns: {prompt: null}, was taken for a column called null."""
    assert _columns(["prompt=null", "chosen=better=1"]) == {"prompt": None, "chosen": "better=1"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["chosen"], "write OURS=THEIRS"),
        (["chosen="], "write OURS=THEIRS"),
        (["chosen=a", "chosen=b"], "--column 'chosen=b': chosen is 'a' already"),
    ],
)
def test_what_names_no_column_or_one_twice(given: list[str], said: str) -> None:
    with pytest.raises(W2SError, match=said):
        _columns(given)
