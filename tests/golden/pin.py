"""Write down what the golden tests compare with: ``python tests/golden/pin.py keys``; for people, never by a test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
os.environ["HF_HUB_OFFLINE"] = "1"

from golden_helpers import RECIPES, as_text, checkout, difference, keys_of, missing, pinned_file


def pin_keys(only: list[str]) -> None:
    """Plan every recipe (or those named) and write its keys, saying what changed."""
    with checkout() as folder:
        for recipe in only or RECIPES:
            absent = missing(recipe)
            if absent:
                print(f"{recipe}: left as it is; {absent}")
                continue
            keys = keys_of(recipe, folder)
            print(difference(recipe, keys) or f"{recipe}: as pinned")
            pinned_file(recipe).write_text(as_text(keys), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] != ["keys"]:
        raise SystemExit(__doc__)
    pin_keys(sys.argv[2:])
