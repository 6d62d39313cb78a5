"""The probe set: pairs fixed before training, apart from the training's groups, with the weak model's scores."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from w2s_pref.analysis.risk.blind_spot import uncertain
from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import canonical, neutral_order, pair_id
from w2s_pref.data.chat import as_messages, group_key
from w2s_pref.data.columns import find_columns
from w2s_pref.data.mapping import parse
from w2s_pref.data.problems import Problems
from w2s_pref.data.readers import Part
from w2s_pref.monitor.weak import Weak, weak_probabilities

log = logging.getLogger(__name__)

#: A table of pairs, or rows as TRL takes them: {"prompt", "chosen", "rejected"} with the better answer in chosen.
Pairs = pd.DataFrame | Sequence[dict[str, Any]]

FEW = 30
COLUMNS = ("id", "group", "form", "prompt", "a", "b")


@dataclass(frozen=True)
class Probe:
    """Pairs in neutral order, the weak model's p of ``a`` (N,), and the truth (N,) where it is known."""

    pairs: pd.DataFrame
    weak: Floats
    truth: Floats | None


def make_probe(
    pairs: Pairs, weak: Weak, training_groups: Iterable[Any], t_weak: float = 0.75, max_length: int | None = 512
) -> Probe:
    """Check the probe set and join the weak scores to it.

    Args:
        training_groups: groups or prompts (text or messages) of the pairs that are trained on.
        t_weak: the weak model is uncertain up to this confidence.
        max_length: longest text in tokens, where ``weak`` is a model's folder.

    Raises:
        W2SError: no pairs, an id twice, a group that is trained on, or weak scores that cannot be used (see ``weak``).
    """
    frame = pairs.reset_index(drop=True) if isinstance(pairs, pd.DataFrame) else _from_rows(pairs)
    if isinstance(pairs, pd.DataFrame) and not set(COLUMNS) <= set(frame.columns):
        frame = _from_rows(cast(list[dict[str, Any]], frame.to_dict("records")))
    if frame["id"].duplicated().any():
        raise W2SError(f"probe: id {frame['id'][frame['id'].duplicated()].iloc[0]!r} stands twice; keep each pair once")
    _refuse_overlap(frame, training_groups)
    truth = _truth(frame)
    p = weak_probabilities(frame, weak, truth, max_length)
    _mention(p, t_weak)
    return Probe(frame, p, truth)


def _from_rows(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Pairs in neutral order from TRL's rows."""
    if not len(rows):
        raise W2SError("probe: no pairs; give at least 30")
    part = Part("probe", pd.DataFrame(list(rows), index=range(1, len(rows) + 1)))
    problems = Problems()
    found = find_columns(part, {}, problems)
    problems.check()
    parsed = parse(part, found, problems)
    problems.check()
    table = []
    for row in parsed:
        first = neutral_order(row.chosen, row.rejected)
        a, b = (row.chosen, row.rejected) if first else (row.rejected, row.chosen)
        name = row.id or pair_id(row.prompt, row.chosen, row.rejected)
        group = row.group or group_key(row.prompt, row.form)
        table.append((name, group, row.form, row.prompt, a, b, int(first)))
    return pd.DataFrame(table, columns=[*COLUMNS, "truth"])


def _refuse_overlap(frame: pd.DataFrame, training_groups: Iterable[Any]) -> None:
    if not len(frame):
        raise W2SError("probe: no pairs; give at least 30")
    trained: set[str] = set()
    for item in training_groups:
        messages = as_messages(item)
        text = str(item) if messages is None else canonical(messages)
        trained |= {text, group_key(text, "text" if messages is None else "chat")} if text.strip() else set()
    keys = [
        {group, prompt, group_key(prompt, form)} & trained
        for group, prompt, form in zip(frame["group"].astype(str), frame["prompt"], frame["form"], strict=True)
    ]
    shared = [name for name, both in zip(frame["id"], keys, strict=True) if both]
    if shared:
        raise W2SError(
            f"probe: {len(shared):,} of {len(frame):,} pairs share a group or prompt with the training data "
            f"(such as id {shared[0]!r}); take the probe from prompts that are not trained on"
        )


def _mention(weak: Floats, t_weak: float) -> None:
    if len(weak) < FEW:
        log.warning("monitor: the probe has %d pairs; signals of fewer than %d are mostly noise", len(weak), FEW)
    if not uncertain(weak, t_weak).any():
        log.warning(
            "monitor: the weak model is never uncertain (confidence at most %.2f) on the probe, so its blind spot is "
            "empty and the signals about it are undefined",
            t_weak,
        )
    if np.ptp(weak) == 0:
        log.warning("monitor: the weak model gives every probe pair the same p, so its covariance says nothing")


def _truth(frame: pd.DataFrame) -> Floats | None:
    """(N,) truth, or None where it is not known of every pair."""
    if "truth" not in frame.columns or frame["truth"].isna().any():
        return None
    truth = frame["truth"].to_numpy(dtype=np.float64)
    if not np.isin(truth, (0.0, 1.0)).all():
        raise W2SError("probe: truth must be 1 where a is the better answer, else 0; leave the column out if unknown")
    return truth
