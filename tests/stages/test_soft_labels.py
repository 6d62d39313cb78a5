"""What trainings on ground truth read where it is a probability."""

from __future__ import annotations

import pandas as pd

from w2s_pref.losses.conflict import extra_labels
from w2s_pref.stages.labels import Part
from w2s_pref.stages.pairs import _labels
from w2s_pref.stages.rows import Rows

PAIRS = pd.DataFrame(
    {"id": ["n0", "n1", "n2"], "group": "g", "form": "text", "prompt": "p", "a": "x", "b": "y", "truth": [1, 0, 1]}
)
SOFT = PAIRS.assign(truth_p=[0.75, 0.0, 0.5])


def test_ceilings_learn_from_probabilities() -> None:
    for frame, p in ((PAIRS, [1.0, 0.0, 1.0]), (SOFT, [0.75, 0.0, 0.5])):
        assert _labels(None, Part(Rows("gt", frame), "truth"), 0)["p"].tolist() == p


def test_settings_of_ones_own_are_given_them(tmp_path) -> None:
    (tmp_path / "own.py").write_text("def own(pairs, truth):\n    return 1 - truth\n")
    assert extra_labels("own.py:own", tmp_path, SOFT, 0)["p"].tolist() == [0.25, 1.0, 0.5]
