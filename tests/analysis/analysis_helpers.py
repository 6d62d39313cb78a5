"""Score tables for the tests of the analyses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.preferences.design import ArmDesign, Design


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def table(models: dict[str, Any], groups: list[str] | None = None, seed: int = 0) -> pd.DataFrame:
    """One-seed score table from lists of score gaps; item i is ``i00i``."""
    size = len(next(iter(models.values())))
    ids = [f"i{k:04d}" for k in range(size)]
    frames = [
        pd.DataFrame({"id": ids, "group": groups or ids, "model": name, "seed": seed, "delta": list(map(float, delta))})
        for name, delta in models.items()
    ]
    return pd.concat(frames, ignore_index=True)


def random_table(items: int = 300, seeds: int = 2, seed: int = 0, group_size: int = 1) -> pd.DataFrame:
    """Correlated scores of weak, ceiling, reference, student; plain and quick."""
    rng = np.random.default_rng(seed)
    base = rng.normal(1, 1.5, items)
    groups = [f"g{i // group_size}" for i in range(items)]
    frames = []
    for k in range(seeds):
        weak, ceiling = 0.5 * base + rng.normal(size=items), base + 0.6 * rng.normal(size=items)
        reference = 0.5 * (weak + ceiling) + 0.4 * rng.normal(size=items)
        student = reference - 1.5 * (rng.random(items) < 0.3) + 0.3 * rng.normal(size=items)
        models = {"weak": weak, "ceiling": ceiling, "reference": reference, "student": student}
        frames.append(table(models, groups, k))
    return pd.concat(frames, ignore_index=True)


CONFLICTS = ("none", "explicit", "implicit")


def study_tables(
    arms: tuple[ArmDesign, ...], conflicts: tuple[str, ...] = CONFLICTS, items: int = 240, seeds: int = 2
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Scores, labels and pairs of a small study whose models get better along ``names``."""
    rng = np.random.default_rng(5)
    names = sorted({m for arm in arms for m in arm.chain}, key=lambda m: int(m[1:]))
    scores = [_objective(rng, arms, conflicts, names, objective, items, seeds) for objective in ("harmless", "helpful")]
    labels = []
    for arm in arms:
        for hop in range(1, len(arm.chain)):
            for seed in range(seeds):
                p = rng.beta(3, 2, 150)
                labels.append(
                    pd.DataFrame(
                        {
                            "id": [f"t{i}" for i in range(150)],
                            "group": [f"tg{i // 2}" for i in range(150)],
                            "name": f"{arm.name}/hop{hop}",
                            "seed": seed,
                            "p_true": p,
                            "keep": np.maximum(p, 1 - p) > 0.55,
                        }
                    )
                )
    return pd.concat(scores, ignore_index=True), pd.concat(labels, ignore_index=True), _pairs(items, rng)


def _objective(rng: Any, arms: Any, conflicts: Any, names: Any, objective: str, items: int, seeds: int) -> Any:
    groups = np.arange(items) // 2
    easy = rng.normal(size=items // 2)[groups] + rng.normal(size=items)
    models: dict[str, Any] = {}
    for rank, name in enumerate(names):
        models[f"ceiling/{name}"] = 0.5 + 0.4 * rank + (0.4 + 0.3 * rank) * easy + rng.normal(size=(seeds, items))
    models[f"base/{names[-1]}"] = rng.normal(size=(seeds, items))
    for arm in arms:
        weak, strong = models[f"ceiling/{arm.chain[0]}"], models[f"ceiling/{arm.chain[-1]}"]
        for hop in range(1, len(arm.chain) - 1):
            models[f"{arm.name}/hop{hop}"] = 0.5 * (weak + strong) + 0.5 * rng.normal(size=(seeds, items))
        for conflict in conflicts:
            push = {"none": 0.0, "explicit": 1.0, "implicit": 0.5}.get(conflict, 0.2)
            models[f"{arm.name}/{conflict}"] = 0.5 * (weak + strong) + 0.4 * rng.normal(size=(seeds, items)) - push
    prefix = objective[0]
    frames = [
        pd.DataFrame(
            {
                "id": [f"{prefix}{i}" for i in range(items)],
                "group": [f"g{g}" for g in groups],
                "model": name,
                "seed": k,
                "delta": delta[k],
                "tau": 1.0,
                "objective": objective,
                "kind": "reward_model",
            }
        )
        for name, delta in models.items()
        for k in range(seeds)
    ]
    return pd.concat(frames, ignore_index=True)


def _pairs(items: int, rng: Any) -> pd.DataFrame:
    def chat(role: str, text: str) -> str:
        return json.dumps([{"role": role, "content": text}])

    truth = rng.integers(0, 2, items)
    return pd.DataFrame(
        {
            "id": [f"h{i}" for i in range(items)],
            "group": [f"g{i // 2}" for i in range(items)],
            "form": ["chat" if i % 2 else "text" for i in range(items)],
            "prompt": [chat("user", f"ask {i}") if i % 2 else f"ask {i}" for i in range(items)],
            "a": [
                chat("assistant", "good" if t else "bad") if i % 2 else ("good" if t else "bad")
                for i, t in enumerate(truth)
            ],
            "b": [
                chat("assistant", "bad" if t else "good") if i % 2 else ("bad" if t else "good")
                for i, t in enumerate(truth)
            ],
            "truth": truth,
            "objective": "harmless",
        }
    )


def study_design(arms: tuple[ArmDesign, ...], ladder: bool = False, **options: Any) -> Design:
    return Design(arms, CONFLICTS, (0, 1), "harmless", "helpful", ladder, resamples=100, **options)
