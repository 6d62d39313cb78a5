"""What the metrics share: plain lists of score gaps as the score table that analyses read, and what a metric says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np
import pandas as pd

from w2s_pref.analysis.scores.table import long_table
from w2s_pref.core.errors import W2SError, shown

#: What the metrics on a weak and a strong model's risk share.
OSOOLI = """@article{osooli2026evaluating, title={Evaluating Risks in Weak-to-Strong Alignment: A Bias-Variance
Perspective}, author={Osooli, Hamid and others}, journal={arXiv:2604.25077}, year={2026}}"""
RISK_INPUTS = """weak, strong: score gaps, true answer minus the other, divided by the temperature. groups: optional,
the prompt of each item. Options as those of w2s_pref.analysis.risk.summary.risk_summary."""


def score_table(deltas: dict[str, Sequence[float]], groups: Sequence[str] | None = None) -> pd.DataFrame:
    """One-seed score table (``id, group, model, seed, delta``): item i is the i-th entry of every list.

    Without ``groups`` each item is its own.

    Raises:
        W2SError: lists of different lengths, or what is no list of numbers.
    """
    check_lists(deltas, tuple(deltas), groups)
    ids = [f"{i:09d}" for i in range(len(next(iter(deltas.values()))))]
    gaps = {name: np.asarray(values, dtype=np.float64)[None] for name, values in deltas.items()}
    return long_table(gaps, ids, ids if groups is None else groups)


def check_lists(given: Mapping[str, Any], names: Sequence[str], groups: Sequence[str] | None = None) -> None:
    """Lists of one score gap an item, all of one length.

    Raises:
        W2SError: one is missing, empty, no list, or holds something else than finite numbers; groups that are no texts.
    """
    wanted = f"give one score gap for each item to {', '.join(names)}"
    if missing := [name for name in names if given.get(name) is None]:
        raise W2SError(f"no {' and no '.join(missing)}; {wanted}")
    lengths = {name: _length(name, given[name], wanted) for name in names}
    if groups is not None:
        lengths["groups"] = len(groups)
        if wrong := [group for group in groups if not isinstance(group, str)]:
            raise W2SError(f"groups: {shown(wrong[0])} is no text; give the prompt of each item, or a name of it")
    if len(set(lengths.values())) > 1:
        raise W2SError(f"lists of different lengths ({lengths}); {wanted}.")


def _length(name: str, values: Any, wanted: str) -> int:
    try:
        found = np.asarray(values)
    except ValueError as error:  # lists of lists of unlike lengths
        raise W2SError(f"{name} holds lists; {wanted}") from error
    if found.ndim != 1:
        raise W2SError(f"{name} has {found.ndim} dimensions {found.shape}, not one; {wanted}")
    if not found.size:
        raise W2SError(f"{name} is empty; {wanted}")
    if found.dtype.kind not in "fiub":
        odd = next((each for each in values if not isinstance(each, int | float | np.number)), values[0])
        raise W2SError(f"{name} holds {shown(odd)}, which is no number; {wanted}")
    if not np.isfinite(found).all():
        at = int(np.flatnonzero(~np.isfinite(found))[0])
        raise W2SError(f"{name} holds {found[at]} (item {at}); {wanted}")
    return len(found)


class ScoreGaps(evaluate.Metric):  # type: ignore[misc]
    """A metric on lists of score gaps: what it is given is looked at before ``evaluate`` writes it down."""

    #: The lists that it takes.
    gaps: ClassVar[tuple[str, ...]]

    def compute(self, **given: Any) -> Any:
        """The numbers of the lists in ``given``, or of what ``add_batch`` took; other names are options.

        Raises:
            W2SError: no lists at all, or see ``check_lists``.
        """
        if self.writer is None or any(given.get(name) is not None for name in self.gaps):
            self._check(given)
        return super().compute(**given)

    def add_batch(self, **given: Any) -> None:
        """Keep some items for ``compute``.

        Raises:
            W2SError: see ``check_lists``.
        """
        self._check(given)
        super().add_batch(**given)

    def _check(self, given: Mapping[str, Any]) -> None:
        if stock := [name for name in ("predictions", "references") if given.get(name) is not None]:
            raise W2SError(f"this metric takes no {stock[0]}; give score gaps to {', '.join(self.gaps)}")
        check_lists(given, self.gaps, given.get("groups"))


def metric_info(description: str, inputs: str, gaps: Sequence[str], citation: str = "") -> evaluate.MetricInfo:
    """What ``evaluate`` wants to know of a metric on lists of score gaps, with or without ``groups``."""
    plain = {name: datasets.Value("float64") for name in gaps}
    features = [datasets.Features(plain), datasets.Features({**plain, "groups": datasets.Value("string")})]
    return evaluate.MetricInfo(description=description, citation=citation, inputs_description=inputs, features=features)
