"""A task's items as the splits of a weak-to-strong cell: disjoint by group, each with as many right as wrong."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.data.split import shuffled

#: In the order in which they are filled: what everything is measured on, what selects checkpoints (by weak labels),
#: ground truth for the supervisor (half A), what it labels (half B), ground truth that weighs several supervisors.
TASK_SPLITS = ("test", "validation", "gt", "w2s", "calibration")


def split_task(frame: pd.DataFrame, sizes: Mapping[str, int] | None = None, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Cut items into ``gt``, ``w2s``, ``validation`` and ``test``, and ``calibration`` where it is asked for.

    Test items come from the task's own test part where there is one, all others from the training part. Where a group
    goes depends on a hash of seed and group alone. A unit (a question with its two items) is used whole or not at all.

    Args:
        frame: items as ``load_task`` returns them.
        sizes: items of every split, even numbers; None takes ``default_sizes``.
        seed: decides which group goes where.

    Returns:
        Every split of ``sizes``, exactly as large as asked for, half of it positive, ordered by a hash.

    Raises:
        W2SError: an unknown split, an odd size, or too few items of one class.
    """
    sizes = default_sizes(frame) if sizes is None else sizes
    _check(sizes)
    pools = {str(part): _ordered(rows, seed) for part, rows in frame.groupby("part")}
    place: dict[str, list[int]] = {}
    taken: dict[str, set[str]] = {part: set() for part in pools}
    for name in (split for split in TASK_SPLITS if split in sizes):
        part = "test" if name == "test" and "test" in pools else "train"
        place[name] = _take(pools[part], sizes[name], taken[part], name)
    return {name: shuffled(frame.loc[place[name]], seed) for name in sizes}


def default_sizes(frame: pd.DataFrame) -> dict[str, int]:
    """A fifth for testing (or the task's own test part), a tenth for validation, the rest in two equal halves.

    The halves leave out a twentieth and a group, because whole groups rarely come out even.
    """
    own = int((frame["part"] == "test").sum())
    train = int((frame["part"] == "train").sum())
    test, validation = (own if own else train // 5), train // 10
    largest = int(frame.groupby("group").size().max())
    half = int(0.95 * (train - validation - (0 if own else test)) / 2) - largest
    return {
        name: max(size // 2 * 2, 2)
        for name, size in {"gt": half, "w2s": half, "validation": validation, "test": test}.items()
    }


def _check(sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        if name not in TASK_SPLITS:
            raise W2SError(f"a task has no split {name!r}; its splits are gt, w2s, validation, test and calibration")
        if size < 2 or size % 2:
            raise W2SError(
                f"split {name} asks for {size} items; splits hold as many right as wrong, so write an even number"
            )


def _ordered(rows: pd.DataFrame, seed: int) -> list[tuple[str, list[tuple[list[int], int, int]]]]:
    """Groups in hash order, each with its units in hash order: row labels of the table, negatives and positives."""
    groups: dict[str, dict[str, list[tuple[int, int]]]] = {}
    for index, group, unit, truth in zip(rows.index, rows["group"], rows["unit"], rows["truth"], strict=True):
        groups.setdefault(group, {}).setdefault(unit, []).append((index, truth))
    ordered = []
    for group in sorted(groups, key=lambda key: digest(str(seed), key)):
        units = [groups[group][unit] for unit in sorted(groups[group], key=lambda key: digest(str(seed), "unit", key))]
        counted = [
            ([index for index, _ in unit], sum(1 - y for _, y in unit), sum(y for _, y in unit)) for unit in units
        ]
        ordered.append((group, counted))
    return ordered


def _take(
    groups: list[tuple[str, list[tuple[list[int], int, int]]]], size: int, taken: set[str], name: str
) -> list[int]:
    """Units until half of ``size`` is right and half wrong; a group that gave one belongs to this split."""
    need, rows = [size // 2, size // 2], list[int]()
    for group, units in groups:
        if group in taken:
            continue
        for indices, wrong, right in units:
            if wrong <= need[0] and right <= need[1]:
                need = [need[0] - wrong, need[1] - right]
                rows += indices
                taken.add(group)
        if not any(need):
            return rows
    raise W2SError(
        f"split {name} asks for {size:,} items, half of them right, but the groups left make up only "
        f"{size // 2 - need[1]:,} right and {size // 2 - need[0]:,} wrong ones; ask for fewer, or bring more"
    )
