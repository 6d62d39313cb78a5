"""Python's garbage collector, and the imports that stay.

torch, transformers and TRL are half a million objects that are never garbage. Looking through them while they are
imported takes a fifth of that time, and every training begins with a look through everything (accelerate's).
"""

from __future__ import annotations

import gc
from functools import cache

#: New objects after which Python looks for garbage: its own numbers, and while libraries are imported.
USUAL, RARE = gc.get_threshold(), 100_000


def begin() -> None:
    """Where a command starts: few collections until :func:`spare_imports`."""
    gc.set_threshold(RARE)


@cache
def spare_imports() -> None:
    """Before the first model is loaded: no later collection looks at what is there by now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*USUAL)
