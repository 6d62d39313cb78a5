"""The examples of docs/extend.md, and the command line on a tiny study of the testbed."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PAGE = Path(__file__).parent.parent.parent / "docs" / "extend.md"
PREFERENCES = """
name: own
seeds: [0]
data:
  target:   {source: testbed, objective: harmless}
  conflict: {source: testbed, objective: helpful}
  splits: {gt: 32, w2s: 32, test: 48, conflict: 32}
  max_length: 64
models: {weak: {path: ladder/xxs}, strong: {path: ladder/xs}}
conflict: {settings: [none]}
training: {batch_size: 8, learning_rate: 1.0e-3, num_train_epochs: 1}
speech: {prompts: 4, samples: 1, max_new_tokens: 6}
analysis: {resamples: 100}
"""
LABORATORY = """
name: own
seeds: [0]
tasks: {}
sizes: {gt: 40, w2s: 40, validation: 20, test: 40}
max_length: 64
models: {xxs: {path: ladder/xxs}, xs: {path: ladder/xs}}
ladder: [xxs, xs]
methods: {probe: {algorithm: probe, training: {epochs: 2}}}
analysis: {resamples: 100}
"""


def examples() -> dict[str, tuple[str, dict[str, Any]]]:
    """Heading -> (the user's file, what it adds to a recipe)."""
    found = {}
    for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        code, keys = (re.search(rf"```{kind}\n(.*?)```", part, re.DOTALL) for kind in ("python", "yaml"))
        if code and keys:
            found[part.partition("\n")[0]] = (code[1], yaml.safe_load(keys[1]))
    return found


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Mappings key by key, everything else from ``more``."""
    both = {key: merged(base[key], more[key]) for key in base.keys() & more.keys() if isinstance(base[key], dict)}
    return {**base, **more, **both}


def write(folder: Path, code: str, keys: dict[str, Any], store: Path) -> Path:
    """``mine.py`` and a recipe that names what is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(code, encoding="utf-8")
    base = yaml.safe_load(LABORATORY if "tasks" in keys else PREFERENCES)
    recipe = merged(base, {"output": str(folder / "runs"), "store": str(store), **keys})
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return folder / "recipe.yaml"


def w2s(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    """``python -m w2s_pref WORDS``, in this process: torch is imported once for all tests."""
    monkeypatch.setattr(sys, "argv", ["w2s", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("w2s_pref", run_name="__main__", alter_sys=True)
    assert ended.value.code in (0, None)


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The sentences with which the command line refuses."""
    monkeypatch.setattr(sys, "argv", ["w2s", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("w2s_pref", run_name="__main__", alter_sys=True)
    assert ended.value.code == 1
    return capsys.readouterr().err


def planned(monkeypatch: pytest.MonkeyPatch, recipe: Path, *overrides: str) -> dict[str, str]:
    """``kind: name`` of every stage → hit or miss."""
    file = recipe.parent / "plan.json"
    w2s(monkeypatch, "plan", recipe, *overrides, "--json", file)
    return {f"{row['kind']}: {row['name']}": row["state"] for row in json.loads(file.read_text())["stages"]}


def results(recipe: Path) -> dict[str, Any]:
    """What results.json says."""
    found: dict[str, Any] = json.loads((recipe.parent / "runs" / "own" / "results.json").read_text(encoding="utf-8"))
    return found
