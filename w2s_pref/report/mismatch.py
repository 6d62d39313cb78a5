"""What keeps runs from being compared, said in sentences: other test data, other objectives, other definitions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from w2s_pref.report.draw.format import one_line, plain
from w2s_pref.report.students import judge_word, measured
from w2s_pref.results.preferences import Results

ABSENT = "absent"


def incomparable(runs: Sequence[Results], names: Sequence[str]) -> list[str]:
    """Reasons why a number of one run means something else in another. Empty: the numbers can be compared."""
    reasons = []
    tests = [name for name in _splits(runs) if is_test(name)]
    for split in tests:
        reasons += _differ(names, f"test split {split!r}", _hashes(runs, split))
    if not tests:
        reasons.append("no split is named as a test split, so nothing shows that the runs were tested on the same data")
    objectives = [", ".join(f"{role} {name}" for role, name in sorted(run.objectives.items())) for run in runs]
    reasons += _differ(names, "objectives", objectives)
    definition = "against the {reference}, known by {rule}, T {thresholds}"
    reasons += _differ(names, "definition of the deception score", [measured(run, definition, "none") for run in runs])
    judges = {name: judge_word(run) for run, name in zip(runs, names, strict=True) if run.speech}
    return reasons + _differ(list(judges), "judge of the win rates", list(judges.values()))


def notices(runs: Sequence[Results], names: Sequence[str]) -> list[str]:
    """Differences a reader has to know about though the numbers mean the same."""
    found = []
    for split in _splits(runs):
        if not is_test(split):
            found += _differ(names, f"training data, split {split!r}", _hashes(runs, split))
    found += _differ(names, "seeds", [", ".join(map(str, run.seeds)) for run in runs])
    for model in dict.fromkeys(name for run in runs for name in run.models):
        there = [run.models.get(model) for run in runs]
        found += _differ(names, f"model {model!r}", [f"{info.path} {info.hash}" if info else ABSENT for info in there])
    return found


def recipe_differences(runs: Sequence[Results], names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Dotted recipe keys whose values differ, with the value in every run; none and not there are the same."""
    flat = [dict(flatten(run.recipe)) for run in runs]
    different = {}
    for key in dict.fromkeys(key for recipe in flat for key in recipe):
        values = [recipe.get(key, ABSENT) for recipe in flat]
        if len(set(values)) > 1 and not set(values) <= {ABSENT, "null"}:
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


def _splits(runs: Sequence[Results]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.splits))


def _hashes(runs: Sequence[Results], split: str) -> list[str]:
    return [run.splits[split].hash if split in run.splits else ABSENT for run in runs]


def _differ(names: Sequence[str], what: str, values: Sequence[str]) -> list[str]:
    """One sentence where the runs do not agree, none where they do."""
    if len(set(values)) < 2:
        return []
    said = "; ".join(f"{name}: {_short(value)}" for name, value in zip(names, values, strict=True))
    return [one_line(f"different {what} ({said})", 600)]


def _short(value: str) -> str:
    """Long hexadecimal hashes cut to twelve digits, word by word."""
    words = (word[:12] if len(word) >= 32 and set(word) <= set("0123456789abcdef") else word for word in value.split())
    return one_line(" ".join(words), 120)
