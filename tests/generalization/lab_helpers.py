"""A laboratory of two tiny models and one task of nonsense words, written into a folder."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd
from conftest import WORDS, save_tiny

from w2s_pref.studies.generalization.study import Laboratory
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.run import open_recipe

RECIPE = """
name: lab
seeds: [0, 1]
tasks:
  words: {task: words, path: words.csv, kind: binary, text: "{text}", label: label, group: group}
sizes: {gt: 40, w2s: 40, validation: 20, test: 40}
max_length: 24
models:
  weak: {path: small}
  middle: {path: medium}
  strong: {path: large}
ladder: [weak, middle, strong]
methods:
  naive: {algorithm: probe, training: {epochs: 6, batch_size: 16}}
  confidence: {algorithm: probe, training: {epochs: 6, batch_size: 16}, loss: {name: aux_confidence}}
analysis: {resamples: 100}
"""

TUNED = "methods.tuned={algorithm: finetune, training: {batch_size: 8, num_train_epochs: 1, learning_rate: 1.0e-3}}"


def make_items(n: int, seed: int = 0) -> pd.DataFrame:
    """Texts that hold the word "yes" where the label is 1, most of the time."""
    draw = random.Random(seed)
    rows = []
    for number in range(n):
        label = number % 2
        words = draw.choices(WORDS[:90], k=draw.randint(4, 10))
        words.insert(draw.randint(0, len(words)), "yes" if (label == 1) ^ (draw.random() < 0.1) else "no")
        rows.append({"text": " ".join(words) + f" w{number % 96}", "label": label, "group": f"g{number // 2}"})
    return pd.DataFrame(rows)


def write_lab(folder: Path) -> Path:
    """Models, items and recipe; returns the recipe."""
    for number, (name, hidden) in enumerate([("small", 16), ("medium", 24), ("large", 32)]):
        save_tiny(folder / name, seed=number, hidden=hidden, layers=1)
    make_items(200).to_csv(folder / "words.csv", index=False)
    recipe = folder / "lab.yaml"
    recipe.write_text(RECIPE + f"output: {folder / 'runs'}\n", encoding="utf-8")
    return recipe


def laboratory(recipe: Path, *overrides: str) -> Laboratory:
    """The graph of a recipe."""
    found: Any = open_recipe(recipe, list(overrides)).study
    return found


def keys(recipe: Path, *overrides: str) -> dict[str, str]:
    """``kind|name`` of every stage → its key."""
    return {f"{stage.kind}|{stage.name}": stage.key for stage in all_stages(laboratory(recipe, *overrides))}
