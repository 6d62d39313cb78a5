"""Conflict settings: what acts on the last student beside the weak labels. No torch here: recipes are checked by it.

A setting of one's own is a function that asks for what it needs by name, and what it asks for says which kind it is.

- *Extra training pairs*: it asks for ``pairs``, the table of ``data.conflict`` (id, form, prompt, a, b), and returns
  for each the probability that ``a`` is preferred, NaN where the pair stays out; it may ask for ``seed``.
- *A term of the loss*: it asks for ``margin``, the student's log-odds that ``a`` is preferred, shape (B,), and returns
  one number a pair, which is added to the loss with the weight ``conflict.alpha``; it may ask for the label ``p``.

Both may ask for ``truth``, 1 where the ground truth prefers ``a``, else 0 (where the data give a probability, that of
pairs is it, and that of terms 1/2 for a tie); only then it is read, and is in the key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.registry import Registry
from w2s_pref.core.tables import truth_of
from w2s_pref.core.user_code import asked, by_name, numbers, parameters
from w2s_pref.losses.spec import Checked

#: Those of the package are wired into the studies' graphs (``studies.preferences.nodes``).
BUILTIN = ("none", "explicit", "implicit", "placebo", "gold", "base")
#: Those that mix pairs of the conflicting objective in.
MIXED = frozenset({"implicit", "placebo", "gold"})

CONFLICTS = Registry("conflict", dict.fromkeys(BUILTIN, "w2s_pref.losses.conflict:own"))

#: Register a function as a conflict setting: ``conflict.settings: [none, NAME]`` then trains a student under it.
conflict = CONFLICTS.register

#: What the two kinds may ask for.
PAIRS = ("pairs", "truth", "seed")
TERM = ("margin", "p", "truth")
#: Columns of the pairs that a function sees.
SHOWN = ["id", "form", "prompt", "a", "b"]


def own(text: str, base: Path) -> list[str]:
    """What a user's setting asks for: ``pairs`` or ``margin``, and perhaps ``truth``, ``seed``, ``p``.

    Raises:
        W2SError: no such function, or it asks for what is not offered.
    """
    function, what = CONFLICTS.find(text, base), f"conflict {text!r}"
    extra = "pairs" in [each.name for each in parameters(function, what)]
    found = asked(function, PAIRS if extra else TERM, what)
    if not extra and "margin" not in found:
        raise W2SError(f"{what} asks neither for pairs (extra training pairs) nor for margin (a term of the loss)")
    return found


def extra_labels(text: str, base: Path, pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Labels ``id, p, keep`` that a user's setting gives to the conflicting pairs; it sees them in the order of ids.

    Raises:
        W2SError: it fails, or returns something else than one probability (or NaN) a pair.
    """
    what, frame = f"conflict {text!r}", pairs.sort_values("id").reset_index(drop=True)
    given = {"pairs": frame[SHOWN].copy(), "truth": truth_of(frame).to_numpy(), "seed": seed}
    value = by_name(CONFLICTS.find(text, base), PAIRS, what)(**given)
    p = numbers(value, len(frame), what, 0.0, 1.0, gaps=True)
    return pd.DataFrame({"id": frame["id"], "p": np.nan_to_num(p, nan=0.5), "keep": ~np.isnan(p)})


def term(text: str, base: Path) -> Checked:
    """A user's term of the loss, called with ``margin``, ``p`` and ``truth`` of shape (B,)."""
    what = f"conflict {text!r}"
    return Checked(by_name(CONFLICTS.find(text, base), TERM, what), what)


def with_term(values: dict[str, Any], base: Path) -> dict[str, Any]:
    """What a stage says of its loss, with the function in the place of ``term: {name, code}`` where there is one."""
    return {**values, "term": term(values["term"]["name"], base)} if "term" in values else values
