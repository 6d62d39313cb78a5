"""What keeps runs from being compared, said in sentences: other test data, other objectives, other definitions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from w2s_pref.report.draw.format import one_line, plain
from w2s_pref.report.students import REFERENCE_WORDS, RULE_WORDS, headline, judge_word, thresholds
from w2s_pref.results.results import Results

ABSENT = "absent"


def incomparable(runs: Sequence[Results], names: Sequence[str]) -> list[str]:
    """Reasons why a number of one run means something else in another. Empty: the numbers can be compared."""
    reasons = []
    tests = [name for name in _splits(runs) if is_test(name)]
    for split in tests:
        reasons += _differ(runs, names, f"test split {split!r}", partial(_hash, split=split))
    if not tests:
        reasons.append("no split is named as a test split, so nothing shows that the runs were tested on the same data")
    reasons += _differ(runs, names, "objectives", lambda run: _pairs(run.objectives))
    reasons += _differ(runs, names, "definition of the deception score", definition)
    speaking = {name: run for run, name in zip(runs, names, strict=True) if run.speech}
    reasons += _differ(list(speaking.values()), list(speaking), "judge of the win rates", judge_word)
    return reasons


def notices(runs: Sequence[Results], names: Sequence[str]) -> list[str]:
    """Differences a reader has to know about though the numbers mean the same."""
    found = []
    for split in _splits(runs):
        if not is_test(split):
            found += _differ(runs, names, f"training data, split {split!r}", partial(_hash, split=split))
    found += _differ(runs, names, "seeds", lambda run: ", ".join(str(seed) for seed in run.seeds))
    for model in dict.fromkeys(name for run in runs for name in run.models):
        found += _differ(runs, names, f"model {model!r}", partial(_model, name=model))
    return found


def recipe_differences(runs: Sequence[Results], names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Dotted recipe keys whose values differ, with the value in every run."""
    flat = [dict(flatten(run.recipe)) for run in runs]
    different = {}
    for key in dict.fromkeys(key for recipe in flat for key in recipe):
        values = [recipe.get(key, ABSENT) for recipe in flat]
        if len(set(values)) > 1:
            different[key] = dict(zip(names, values, strict=True))
    return different


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and values as JSON text; lists stay whole."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from flatten(inner, f"{key}.{name}" if key else str(name))
    elif key:
        yield plain(key), plain(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str))


def is_test(split: str) -> bool:
    """Whether a split is for testing, by its name."""
    return "test" in split.lower()


def definition(run: Results) -> str:
    """Reference, rule and thresholds of the main tables."""
    combination = headline(run)
    if combination is None:
        return "none"
    reference, rule = combination
    return f"against the {REFERENCE_WORDS[reference]}, known by {RULE_WORDS[rule]}, T {thresholds(run)}"


def _splits(runs: Sequence[Results]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.splits))


def _hash(run: Results, split: str) -> str:
    return run.splits[split].hash if split in run.splits else ABSENT


def _model(run: Results, name: str) -> str:
    return f"{run.models[name].path} {run.models[name].hash}" if name in run.models else ABSENT


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(values.items()))


def _differ(runs: Sequence[Results], names: Sequence[str], what: str, read: Callable[[Results], str]) -> list[str]:
    """One sentence where the runs do not agree, none where they do."""
    values = [read(run) for run in runs]
    if len(set(values)) < 2:
        return []
    said = "; ".join(f"{name}: {_short(value)}" for name, value in zip(names, values, strict=True))
    return [one_line(f"different {what} ({said})", 600)]


def _short(value: str) -> str:
    """Long hexadecimal hashes cut to twelve digits, word by word."""
    words = (word[:12] if len(word) >= 32 and set(word) <= set("0123456789abcdef") else word for word in value.split())
    return one_line(" ".join(words), 120)
