"""Seeded preference pairs of a world, in TRL's columns with the latent truth beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from w2s_pref.core.errors import W2SError
from w2s_pref.testbed.facts import tables
from w2s_pref.testbed.words import AGENTS, ANSWERS, DOSES, PROMPTS, TOPIC_OF_TIER, Tier
from w2s_pref.testbed.worlds import SMALL, World, find_world

OBJECTIVES: tuple[str, ...] = ("harmless", "helpful")
TIERS: tuple[int, ...] = tuple(range(len(PROMPTS)))
ORDERS = 2
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def _where(mask: NDArray[np.bool_]) -> Ints:
    """Indices of the true cells: shape (cells, dimensions)."""
    found: Ints = np.argwhere(mask)
    return found


@lru_cache(maxsize=32)
def _pairs(world: World, tier: int, conflict: bool) -> Ints:
    """Every (target, harmless agent, dangerous agent) whose usefulness differs as asked: shape (pairs, 3)."""
    table = tables(world)[TOPIC_OF_TIER[tier]]
    danger, useful = table // 2, table % 2
    fits = useful[:, :, None] < useful[:, None, :] if conflict else useful[:, :, None] > useful[:, None, :]
    if tier != Tier.CUE:
        return _where(fits & (danger[:, :, None] < danger[:, None, :]))
    # On tier 0 an adjective decides about danger (of the large world: about both), so take agents equally dangerous
    # (and equally useful) without it; half of the pairs serve each role.
    alike = danger[:, :, None] == danger[:, None, :]
    if len(world.cues) == 4:
        first, second = np.indices(alike.shape[1:])
        turned = (first > second) == (np.arange(len(table)) // 2 % 2 == 1)[:, None, None]  # each two agents once
        fits = (useful[:, :, None] == useful[:, None, :]) & turned & (first != second)
    found = _where(fits & alike)
    mine: Ints = found[found.sum(axis=1) % 2 == int(conflict)]
    return mine


def capacity(tier: int, conflict: bool, world: World = SMALL) -> int:
    """Number of distinct prompts a world holds for one tier with, or without, conflict."""
    return len(_pairs(world, tier, conflict)) * ORDERS * len(PROMPTS[tier])


def _draw(world: World, tier: int, conflict: bool, count: int, rng: np.random.Generator) -> Ints:
    """``count`` distinct prompts, unused facts first: target, harmless, dangerous, order, wording."""
    most = capacity(tier, conflict, world)
    if count > most:
        raise W2SError(
            f"the {world.name} world has {most} prompts of tier {tier} {'with' if conflict else 'without'} "
            f"conflict, but {count} were asked for: ask for fewer rows, or spread them by `tiers` and `conflict_share`"
        )
    pairs = rng.permutation(_pairs(world, tier, conflict))
    variants = ORDERS * len(PROMPTS[tier])
    start = rng.integers(variants, size=len(pairs))
    which = np.arange(count) % max(len(pairs), 1)
    variant = (start[which] + np.arange(count) // max(len(pairs), 1)) % variants
    return np.column_stack([pairs[which], variant % ORDERS, variant // ORDERS])


def _shares(rows: int, weights: Floats) -> Ints:
    """Split ``rows`` into whole numbers proportional to ``weights`` (largest remainder): sums to rows."""
    exact = rows * weights / weights.sum()
    counts: Ints = np.floor(exact).astype(np.int64)
    counts[np.argsort(-(exact - counts), kind="stable")[: rows - counts.sum()]] += 1
    return counts


def _latent(world: World, rows: int, conflict_share: float, weights: Floats, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the facts behind ``rows`` chats: one integer or boolean column per choice, in random order."""
    parts: list[Ints] = []
    for tier, count in zip(TIERS, _shares(rows, weights), strict=True):
        clashes = round(int(count) * conflict_share)
        for conflict, size in ((True, clashes), (False, int(count) - clashes)):
            drawn = _draw(world, tier, conflict, size, rng)
            parts.append(np.column_stack([np.full(size, tier), np.full(size, int(conflict)), drawn]))
    facts = rng.permutation(np.concatenate(parts))
    names = ["tier", "conflict", "target", "harmless", "dangerous", "order", "wording"]
    frame = pd.DataFrame({name: facts[:, i] for i, name in enumerate(names)})
    frame["dose"] = rng.integers(len(DOSES), size=rows)
    frame["answer"] = rng.integers(2**31, size=rows) % np.array([len(a) for a in ANSWERS])[frame["tier"]]
    frame["alarm"] = rng.integers(len(world.cues[-1]), size=rows)
    frame["calm"] = rng.integers(len(world.cues[0]), size=rows)
    return frame


def _texts(world: World, latent: pd.DataFrame) -> tuple[list[str], list[str], list[str]]:
    """Prompt, harmless answer and dangerous answer of every row."""
    prompts, safe, harmful = [], [], []
    doses, columns = tuple(DOSES), latent.columns.tolist()
    topics = [world.topic(name) for name in TOPIC_OF_TIER]
    cues = world.cues if len(world.cues) == 4 else [group for group in world.cues for _ in range(2)]
    for row in zip(*(latent[name].tolist() for name in columns), strict=True):
        r = dict(zip(columns, row, strict=True))
        target = topics[r["tier"]].targets[r["target"]]
        good, bad = AGENTS[r["harmless"]], AGENTS[r["dangerous"]]
        first, second = (bad, good) if r["order"] else (good, bad)
        prompts.append(PROMPTS[r["tier"]][r["wording"]].format(u=target, a=first, b=second))
        form, dose = ANSWERS[r["tier"]][r["answer"]].format, doses[r["dose"]]
        safe.append(form(u=target, v=good, w=bad, dose=dose, cue=cues[1 - r["conflict"]][r["calm"]]))
        harmful.append(form(u=target, v=bad, w=good, dose=dose, cue=cues[2 + r["conflict"]][r["alarm"]]))
    return prompts, safe, harmful


def _pair_columns(world: World, latent: pd.DataFrame, safe_first: NDArray[np.bool_], dose: Floats) -> pd.DataFrame:
    """Texts and truths, the harmless answer in ``chosen`` where ``safe_first`` says so."""
    prompts, safe, harmful = (np.array(texts, dtype=object) for texts in _texts(world, latent))
    clash = latent["conflict"].to_numpy(dtype=bool)
    helpful_safe, helpful_harmful = np.where(clash, 0.0, dose), np.where(clash, dose, 0.0)
    return pd.DataFrame(
        {
            "prompt": prompts,
            "chosen": np.where(safe_first, safe, harmful),
            "rejected": np.where(safe_first, harmful, safe),
            "harmless_chosen": np.where(safe_first, 1.0, 1.0 - dose),
            "harmless_rejected": np.where(safe_first, 1.0 - dose, 1.0),
            "helpful_chosen": np.where(safe_first, helpful_safe, helpful_harmful),
            "helpful_rejected": np.where(safe_first, helpful_harmful, helpful_safe),
        }
    )


def _flips(rows: int, gap: Floats, strength: float, noise: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which labels are wrong, shape (rows,): Bradley-Terry on ``strength * gap``, then the chance ``noise``."""
    scaled = np.where(gap > 0, np.minimum(strength * gap, 700.0), 0.0)
    doubtful = rng.random(rows) >= 1.0 / (1.0 + np.exp(-scaled))
    return doubtful ^ (rng.random(rows) < noise)


def _check(rows: int, objective: str, conflict_share: float, label_noise: float, strength: float) -> None:
    """Refuse arguments outside their range, all mistakes at once."""
    problems = []
    if rows < 1:
        problems.append(f"rows is {rows}; it must be at least 1")
    if objective not in OBJECTIVES:
        problems.append(f"objective is {objective!r}; it must be one of {', '.join(OBJECTIVES)}")
    for name, value in (("conflict_share", conflict_share), ("label_noise", label_noise)):
        if not 0.0 <= value <= 1.0:
            problems.append(f"{name} is {value}; it must lie in [0, 1]")
    if not strength >= 0.0:
        problems.append(f"strength is {strength}; it must be 0 or more (inf: labels follow the truth)")
    if problems:
        raise W2SError(problems)


def _weights(tiers: Mapping[int | str, float] | None) -> Floats:
    """Weight of every tier: shape (5,)."""
    named: dict[int | str, int] = {str(tier): tier for tier in TIERS}  # in a recipe every key is text
    given = dict.fromkeys(TIERS, 1.0) if tiers is None else {named.get(tier, tier): w for tier, w in tiers.items()}
    if set(given) - set(TIERS) or any(w < 0 for w in given.values()) or not sum(given.values()) > 0:
        raise W2SError(
            f"tiers is {dict(given)}; it must give weights of 0 or more, not all 0, to tiers among {list(TIERS)}"
        )
    return np.array([given.get(tier, 0.0) for tier in TIERS])


def generate(
    rows: int,
    seed: int = 0,
    objective: str = "harmless",
    conflict_share: float = 0.5,
    label_noise: float = 0.0,
    strength: float = math.inf,
    tiers: Mapping[int | str, float] | None = None,
    world: str = "small",
) -> pd.DataFrame:
    """Draw ``rows`` preference pairs, each on its own prompt; the same arguments give the same bytes.

    The seed draws chats only: facts never change, and both objectives have the same prompts and answers in the
    same order.

    Args:
        rows: number of pairs.
        seed: seed of the draw.
        objective: which truth orders the pair, ``harmless`` or ``helpful``.
        conflict_share: share of prompts, in every tier, on which the more helpful answer is the harmful one, in [0, 1].
        label_noise: chance that chosen and rejected are exchanged, in [0, 1].
        strength: P(label is right) = sigmoid(strength * gap) before noise, where gap in (0, 1] is the true difference
            of the pair (small doses are near ties); inf means that labels follow the truth.
        tiers: weight of each tier 0..4 (or "0".."4"); all equal when None.
        world: ``small``, or ``large``: other targets, more of them, some spoken of far less in pre-training.

    Returns:
        prompt, chosen, rejected, id, group, objective, tier; harmless_chosen, harmless_rejected, helpful_chosen,
        helpful_rejected in [0, 1], the truth of the answer in that column; conflict, gap in (0, 1] and flipped
        (the label is against the truth).

    Raises:
        W2SError: an argument is out of range, or the world has fewer prompts than asked for.
    """
    _check(rows, objective, conflict_share, label_noise, strength)
    told = find_world(world)
    rng = np.random.default_rng(seed)
    latent = _latent(told, rows, conflict_share, _weights(tiers), rng)
    gap = np.array(tuple(DOSES.values()))[latent["dose"]]
    flipped = _flips(rows, gap, strength, label_noise, rng)
    clash = latent["conflict"].to_numpy(dtype=bool)
    safe_wins = np.ones(rows, dtype=bool) if objective == "harmless" else ~clash
    frame = _pair_columns(told, latent, safe_wins ^ flipped, gap)
    frame.insert(3, "id", [f"{objective}-{seed}-{i}" for i in range(rows)])
    frame.insert(4, "group", frame["prompt"])
    frame.insert(5, "objective", objective)
    frame.insert(6, "tier", latent["tier"])
    return frame.assign(conflict=clash, gap=gap, flipped=flipped)
