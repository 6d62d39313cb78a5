"""Write down what the golden tests compare with; for people, never run by a test.

python tests/golden/pin.py keys [RECIPE …]   stage keys of the shipped recipes (deception/ladder.yaml …)
python tests/golden/pin.py results           numbers and form of the small studies; the same numbers give the same bytes
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from golden_helpers import RECIPES, as_text, checkout, difference, keys_of, missing, opened_of, pinned_file
from study_helpers import ANALYSES, RUNS, pin


def pin_keys(only: list[str]) -> None:
    """Plan every recipe (or those named) and write its keys, saying what changed."""
    with checkout() as folder:
        for recipe in only or RECIPES:
            absent = missing(recipe)
            if absent:
                print(f"{recipe}: left as it is; {absent}")
                continue
            keys = keys_of(opened_of(recipe, folder))
            print(difference(recipe, keys) or f"{recipe}: as pinned")
            pinned_file(recipe).write_text(as_text(keys), encoding="utf-8")


def pin_results() -> None:
    """Analyse the kept tables, run the small studies, write both."""
    for study, analysis in ANALYSES.items():
        pin(study, analysis())
    for study, run in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            pin(study, run(Path(folder)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["keys"]:
        pin_keys(sys.argv[2:])
    elif sys.argv[1:] == ["results"]:
        pin_results()
    else:
        raise SystemExit(__doc__)
