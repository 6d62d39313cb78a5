"""Splits whose groups never touch: by a hash of seed and group, so the order of the rows decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.data.problems import first, short

#: Splits of the target objective and of the conflicting one, in the order in which they are filled.
TARGET_SPLITS = ("gt", "calibration", "w2s", "test", "probe")
CONFLICT_SPLITS = ("conflict", "conflict_test")

#: What is filled one after another: under version 1 everything at once, in the order above; under version 2 what models
#: are measured on first, so that a training split of another size leaves it, and with it every score, as it is.
ROUNDS = {
    1: ((TARGET_SPLITS, CONFLICT_SPLITS),),
    2: ((("test", "probe"), ("conflict_test",)), (("gt", "calibration", "w2s"), ("conflict",))),
}

#: Splits that are cut from gt where the user's files have none of their own for them.
CARVED = ("calibration", "probe")

#: Who keeps a group that two splits claim: test sets first, so that dropping never touches what is measured.
_KEEPS = ("test", "conflict_test", "probe", "gt", "calibration", "w2s", "conflict")

#: A split may stop short of its size, to keep a group whole, by at most this share or one pair.
SHORT = 0.05

Frames = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Splits:
    """The rows of every split and what happened on the way.

    Attributes:
        frames: split name -> pairs, ordered by a hash of (seed, id).
        counts: ``split.NAME.rows`` and ``split.NAME.groups``; where not zero ``split.NAME.short`` (rows fewer than
            asked for, so that no group breaks) and ``split.NAME.overlap_dropped``.
    """

    frames: dict[str, pd.DataFrame]
    counts: dict[str, int]


def split(
    target: pd.DataFrame | Frames,
    conflict: pd.DataFrame | Frames | None,
    sizes: Mapping[str, int],
    seed: int = 0,
    overlap: Literal["error", "drop"] = "error",
    version: Literal[1, 2] = 2,
) -> Splits:
    """Cut the target and the conflicting pairs into splits that share no group.

    Args:
        target: all pairs of the target objective, to be cut into ``gt``, ``calibration`` (if it has a size), ``w2s``
            and ``test``; or a mapping split -> pairs, where the user has cut them already.
        conflict: the same for ``conflict`` and ``conflict_test``; None where there is no conflicting objective.
        sizes: rows of every split. A split that the user has cut may leave its size out: all rows then.
        seed: decides which group goes where.
        overlap: groups that two splits of the user's share are an error, or dropped from the one that matters
            less (test sets keep theirs; then gt, calibration, w2s, conflict).
        version: 2 fills test sets and probe first (see ``ROUNDS``).

    Groups of a prompt that both objectives have go to one of them, each getting its fair share. Groups are never
    broken: a split skips the groups that are too big for what it still needs.

    Raises:
        W2SError: too few pairs for a size, groups too big for a size, or an overlap.
    """
    counts: dict[str, int] = {}
    own = {name: frame for side in (target, conflict) if isinstance(side, Mapping) for name, frame in side.items()}
    own = _without_overlap(own, overlap, counts)
    taken = {group for frame in own.values() for group in frame["group"]}
    free = [_avoiding(side, taken) if isinstance(side, pd.DataFrame) else None for side in (target, conflict)]
    for names, side in zip((TARGET_SPLITS, CONFLICT_SPLITS), free, strict=True):
        if side is not None:
            _enough(side, {name: sizes[name] for name in names if name in sizes})
    frames: dict[str, pd.DataFrame] = {}
    for both in ROUNDS[version]:
        wanted = {name: sizes[name] for names in both for name in names if name in sizes}
        for names, pool in zip(both, _sides(free[0], free[1], wanted, seed), strict=True):
            if pool is not None:
                frames |= _fill(pool, {name: wanted[name] for name in names if name in wanted}, seed, counts)
        filled = {group for frame in frames.values() for group in frame["group"]}
        free = [None if side is None else _avoiding(side, filled) for side in free]
    for name, frame in own.items():
        carved = [each for each in CARVED if name == "gt" and each in sizes and each not in own]
        order = sorted((name, *carved), key=lambda each: version == 2 and each != "probe")
        frames |= _fill(frame, {each: sizes.get(each) for each in order}, seed, counts)
    order = [name for name in (*TARGET_SPLITS, *CONFLICT_SPLITS) if name in frames]
    for name in order:
        counts |= {f"split.{name}.rows": len(frames[name]), f"split.{name}.groups": frames[name]["group"].nunique()}
    return Splits({name: shuffled(frames[name], seed) for name in order}, counts)


def alike(frames: Frames) -> dict[tuple[str, str], int]:
    """(Split, other split) → how many pairs of the first share a prompt or a text with one of the other.

    Pairs whose prompt is known are one group wherever they come from, so they are in one split. Of pairs without one,
    only those of the same source are sure to be put together. A split is compared with those whose rows matter more
    (test sets first).
    """
    owner: dict[str, str] = {}
    found: Counter[tuple[str, str]] = Counter()
    for name in sorted(frames, key=_KEEPS.index):
        texts = [_texts(*row) for row in zip(*(frames[name][part] for part in ("prompt", "a", "b")), strict=True)]
        others = (next((owner[text] for text in pair if text in owner), None) for pair in texts)
        found.update((name, other) for other in others if other is not None)
        owner = {text: name for pair in texts for text in pair} | owner
    return dict(found)


def _texts(prompt: str, a: str, b: str) -> list[str]:
    """What two pairs that belong together share one of: the prompt, or a whole text."""
    words = " ".join(prompt.casefold().split())
    return [*([words] if words not in ("", "[]") else []), prompt + a, prompt + b]  # []: a conversation without one


def _avoiding(frame: pd.DataFrame, groups: set[str]) -> pd.DataFrame:
    """The rows of other groups; texts are copied only where there are some to leave out."""
    kept = np.array([group not in groups for group in frame["group"].tolist()], dtype=bool)
    return frame if kept.all() else frame[kept]


def _hashed(groups: Iterable[str], seed: int) -> list[str]:
    """The distinct groups in an order that only the seed decides."""
    return sorted(set(groups), key=lambda group: digest(str(seed), group))


def shuffled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The rows ordered by a hash of (seed, id)."""
    keys = pd.Series(
        [digest(str(seed), "row", row_id) for row_id in frame["id"].tolist()], index=frame.index, dtype=str
    )
    return frame.loc[keys.sort_values().index].reset_index(drop=True)


def _without_overlap(
    own: dict[str, pd.DataFrame], overlap: Literal["error", "drop"], counts: dict[str, int]
) -> dict[str, pd.DataFrame]:
    """The user's splits without shared groups. Raises W2SError for overlap = error, or where nothing is left."""
    owner: dict[str, str] = {}
    problems: list[str] = []
    clean: dict[str, pd.DataFrame] = {}
    for name in sorted(own, key=_KEEPS.index):
        frame = own[name]
        shared = frame["group"].isin(owner)
        if shared.any() and overlap == "error":
            problems += _overlaps(name, frame[shared], owner, own)
        elif shared.any():
            counts[f"split.{name}.overlap_dropped"] = int(shared.sum())
            frame = frame[~shared]
            if not len(frame):
                problems.append(f"split {name}: every row shares its prompt with another split; bring other prompts")
        clean[name] = frame
        owner |= dict.fromkeys(frame["group"], name)
    if problems:
        raise W2SError(first(problems))
    return clean


def _overlaps(name: str, shared: pd.DataFrame, owner: dict[str, str], own: Frames) -> list[str]:
    """One sentence for every split that ``name`` shares groups with."""
    other = shared["group"].map(owner)
    sentences = []
    for keeper in other.unique():
        rows = shared[other == keeper]
        one = rows.iloc[0]
        twin = own[keeper][own[keeper]["group"] == one["group"]].iloc[0]
        sentences.append(
            f"splits {keeper} and {name} share {rows['group'].nunique():,} groups (prompts), for example "
            f"{short(one['prompt'], 60)} (id {twin['id']} in {keeper}, id {one['id']} in {name}); remove the rows "
            f"from one of them, or write overlap: drop to leave {len(rows):,} rows out of {name}"
        )
    return sentences


def _sides(
    target: pd.DataFrame | None, conflict: pd.DataFrame | None, sizes: Mapping[str, int], seed: int
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Give every group that both objectives have to the one that has less of what it needs so far."""
    if target is None or conflict is None:
        return target, conflict
    rows: list[dict[str, int]] = [Counter(frame["group"].tolist()) for frame in (target, conflict)]
    need = [sum(sizes.get(name, 0) for name in names) or 1 for names in (TARGET_SPLITS, CONFLICT_SPLITS)]
    shared = _hashed(rows[0].keys() & rows[1].keys(), seed)
    got = [sum(side.values()) - sum(side[group] for group in shared) for side in rows]
    lost: tuple[set[str], set[str]] = (set(), set())
    for group in shared:
        side = 0 if got[0] / need[0] <= got[1] / need[1] else 1
        got[side] += rows[side][group]
        lost[1 - side].add(group)
    return _avoiding(target, lost[0]), _avoiding(conflict, lost[1])


def _fill(
    frame: pd.DataFrame, wanted: Mapping[str, int | None], seed: int, counts: dict[str, int]
) -> dict[str, pd.DataFrame]:
    """Whole groups for every split, in hash order; a split without a size takes what the others leave."""
    sized = {name: size for name, size in wanted.items() if size is not None}
    _enough(frame, sized)
    rows: dict[str, int] = Counter(frame["group"].tolist())
    left = _hashed(rows, seed)
    place: dict[str, str] = {}
    for name, size in sized.items():
        left, need = _take(left, rows, size, name, place)
        if need == size or need > max(1, SHORT * size):
            raise W2SError(
                f"split {name} asks for {size:,} pairs but gets {size - need:,} without breaking a group: the smallest "
                f"group left has {min(rows[group] for group in left):,} pairs; choose sizes that whole groups can "
                "make up, or a finer group column"
            )
        if need:
            counts[f"split.{name}.short"] = need
    place |= {group: name for name, size in wanted.items() if size is None for group in left}
    where = frame["group"].map(place)
    return {name: frame[where == name] for name in wanted}


def _enough(frame: pd.DataFrame, sized: Mapping[str, int]) -> None:
    """Raise W2SError where splits ask for more pairs than there are."""
    total = sum(sized.values())
    if total > len(frame):
        asked = " + ".join(f"{name} {size:,}" for name, size in sized.items())
        raise W2SError(
            f"splits ask for {total:,} pairs ({asked}), but there are {len(frame):,} "
            f"(of {frame['group'].nunique():,} prompts that no other split holds); ask for fewer, or bring more"
        )


def _take(left: list[str], rows: dict[str, int], size: int, name: str, place: dict[str, str]) -> tuple[list[str], int]:
    """Put groups into ``place`` until ``size`` rows are reached; the groups left over and the rows still missing."""
    skipped: list[str] = []
    for position, group in enumerate(left):
        if not size:
            return skipped + left[position:], 0
        if rows[group] <= size:
            place[group] = name
            size -= rows[group]
        else:
            skipped.append(group)
    return skipped, size
