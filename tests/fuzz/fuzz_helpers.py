"""Mutants of files and command lines, and a command that is watched while it reads them."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
import resource
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from fault_helpers import Done
from fault_helpers import w2s as run
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from w2s_pref.core.yaml_values import dumped

#: Mutants of every kind; 0: the fixed few of the test suite.
EXAMPLES = int(os.environ.get("W2S_FUZZ_EXAMPLES") or 0)
#: Seconds of computing and of waiting, bytes of memory, and characters of a message, that no input may need.
SECONDS, WAITING, MEMORY, MESSAGE = 20, 120, 2 * 10**9, 150_000

#: The tree of commands, which typer makes anew at every call in a third of the time that a mutant takes.
COMMANDS = functools.cache(typer.main.get_command)

#: What became of the mutants of each kind.
COUNTS: dict[str, Counter[str]] = {}
#: Where something went wrong in the long run → what, and the first mutant.
FAULTS: dict[str, str] = {}


def fuzzed(few: int) -> Callable[[Any], Any]:
    """A property, on ``few`` fixed mutants in the suite, on as many others as are asked for in the long run."""
    return settings(
        max_examples=EXAMPLES or few,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if EXAMPLES else (Phase.generate,),
    )


class Hang(BaseException):
    """A command that did not end."""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Within the block nothing may hang, or take all memory."""

    def end(*_: object) -> None:
        raise Hang(f"no end after {SECONDS} s of computing or {WAITING} s of waiting")

    for number, timer, limit in (
        (signal.SIGPROF, signal.ITIMER_PROF, SECONDS),
        (signal.SIGALRM, signal.ITIMER_REAL, WAITING),
    ):
        signal.signal(number, end)
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 < MEMORY


def w2s(*words: str) -> Done:
    """Run ``w2s WORDS``. An exception that is no exit is a fault, as is a failure without a sentence or a flood."""
    with pytest.MonkeyPatch.context() as patch, watched():
        patch.setenv("COLUMNS", "400")
        patch.setattr("typer.main.get_command", COMMANDS)
        done = run(*words)
    assert done.code in {0, 1, 2}, done
    assert done.code == 0 or done.err.strip(), done
    assert "Traceback" not in done.err
    assert len(done.err) < MESSAGE
    return done


def counted(kind: str, what: str) -> None:
    """Remember what became of a mutant."""
    COUNTS.setdefault(kind, Counter())[what] += 1


@contextlib.contextmanager
def judged(kind: str, mutant: object) -> Iterator[None]:
    """Within the block a mutant is tried. In the long run a fault is kept and the next one is tried."""
    try:
        yield
    except (Exception, Hang) as error:
        if not EXAMPLES:
            raise
        place = [
            f"{frame.name} ({Path(frame.filename).name}:{frame.lineno})"
            for frame in traceback.extract_tb(error.__traceback__)
        ]
        name = f"{type(error).__name__} in {place[-1]}: {str(error)[:200]}"
        counted(kind, "FAULT")
        FAULTS.setdefault(f"{kind}: {type(error).__name__} in {place[-1]}", f"{name}\n{str(mutant)[:3000]}")


@pytest.fixture(scope="module", autouse=True)
def summary() -> Iterator[None]:
    """Say what became of the mutants of a module, and fail where one was a fault."""
    COUNTS.clear()
    FAULTS.clear()
    yield
    for kind, counts in COUNTS.items():
        print(f"\nfuzz {kind}: {sum(counts.values())} mutants, {dict(counts)}")
    if FAULTS:
        pytest.fail("\n\n".join(f"=== {fault}\n{sample}" for fault, sample in FAULTS.items()), pytrace=False)


def deep(depth: int) -> list[Any]:
    """A list in a list in a list …"""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


#: Values that somebody, somewhere, once wrote.
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 3, 0.5, -0.5, 1e308, 1e-320, 2**31, 2**32, 2**63 - 1, 2**63, 10**30, 10**400,
    "", " ", "0", "1e-4", ".nan", "nan", "null", "none", "010", "1:30", "2020-13-45", "<<", "=", "~", "~nobody-here/x",
    "/", ".", "..", "../..", "/dev/null", "s3://key:pass@bucket/x", "memory://x", "a/b", "owner/name", "ladder/xs",
    "weak", "strong", "x.py:f", "json:loads", "testbed", "[bold]", "%s", "{0}", "<script>", "a\nb",
    "🙂", "\u202e", "ü" * 200,
    "a" * 300, "a" * 10_000, "\0", [], {}, [[]], [None], [1, 2], ["weak", "strong"], {"a": {}}, {"": 1},
    {"path": "ladder/xs"},
    list(range(300)), deep(20), deep(200),
]  # fmt: skip
#: Pieces of text that mean something to a reader.
PIECES = [
    "", " ", "\n", "\t", '"', "'", "[", "]", "{", "}", ":", ": ", ",", "- ", "? ",
    "&a ", "*a", "!!int ", "!!python/none ", "<<: *a",
    "#", "|", ">", "%", "@", "`", "---\n", "...\n", "\\", "\\ud800", "\\u0000",
    "\0", "\ufeff", "\r\n", "\x85", "\u2028", "9" * 5000,
    "1e999", "NaN", "Infinity", "null", "true", "[" * 2000, "{" * 500, "a: " * 50, "é", "\ud7ff",
]  # fmt: skip


@st.composite
def odd(draw: st.DrawFn) -> Any:
    """A value out of place: a known trap, or any JSON."""
    scalar = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=20)
    )
    other = st.recursive(
        scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    )
    return draw(st.sampled_from(ODD) | other)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container of a tree with a key or index in it."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else []
    return [place for key in keys for place in [(tree, key), *places(tree[key])]]


@st.composite
def trees(draw: st.DrawFn, base: Any, names: tuple[str, ...] = ()) -> Any:
    """The tree with one thing changed: a value, a key, a part gone, one too many, or one in another's place.

    Args:
        names: dotted keys that its schema knows.
    """
    tree = copy.deepcopy(base)
    if names and draw(st.integers(0, 2)) == 0:
        *path, last = draw(st.sampled_from(names)).split(".")
        below = tree
        for key in path:
            below = below.setdefault(key, {}) if isinstance(below, dict) else {}
            below = below if isinstance(below, dict) else {}
        below[last] = draw(odd())
        return tree
    holder, key = draw(st.sampled_from(places(tree)))
    what = draw(st.sampled_from(["value", "value", "value", "gone", "key", "more", "swap", "wrap"]))
    if what == "value":
        holder[key] = draw(odd())
    elif what == "gone":
        del holder[key]
    elif what == "key" and isinstance(holder, dict):
        holder[draw(st.text(max_size=12) | st.sampled_from([str(value) for value in ODD]))] = holder.pop(key)
    elif what == "more":
        (holder.append if isinstance(holder, list) else lambda value: holder.update({"extra": value}))(draw(odd()))
    elif what == "swap":
        other, there = draw(st.sampled_from(places(tree)))
        holder[key] = copy.deepcopy(other[there]) if there in other or isinstance(other, list) else None
    else:
        holder[key] = [holder[key]]
    return tree


@st.composite
def texts(draw: st.DrawFn, base: str) -> str:
    """The text with a part changed as damage, editors and scripts change it."""
    start = draw(st.integers(0, len(base)))
    end = min(len(base), start + draw(st.sampled_from([0, 1, 1, 2, 5, 20, 100])))
    lines = base.split("\n")
    line = draw(st.integers(0, len(lines) - 1))
    piece = draw(st.sampled_from(PIECES) | st.text(max_size=5))
    return draw(
        st.sampled_from(
            [
                base[:start] + piece + base[end:],
                base[:start] + piece + base[start:],
                base[:start] + base[end:],
                base[:start],
                base[:start] + base[start:end] * 3 + base[end:],
                "\n".join([*lines[: line + 1], *lines[line:]]),
                "\n".join([*lines[:line], *lines[line + 1 :]]),
                "\n".join([*lines[line:], *lines[:line]]),
                base + base,
                base.replace(",", ";"),
                base[:start] + chr(ord(base[start]) ^ 1) + base[start + 1 :] if start < len(base) else base,
            ]
        )
    )


def safe_yaml(tree: Any) -> str:
    """The tree as YAML, where it can be written so at all."""
    try:
        return dumped(tree)
    except Exception:  # text that no YAML holds: JSON's escapes say it
        return json.dumps(tree)


def raw(text: str) -> bytes:
    """Bytes of a text, broken characters kept."""
    return text.encode("utf-8", "surrogatepass")


def write_data(folder: Path) -> None:
    """Two objectives of the embedded world as files of preferences."""
    from w2s_pref.testbed.world import generate

    for seed, (name, objective) in enumerate([("target", "harmless"), ("conflict", "helpful")]):
        frame = generate(60, seed, objective)[["prompt", "chosen", "rejected"]]
        frame.assign(id=[f"{name}-{row}" for row in range(60)]).to_json(
            folder / f"{name}.jsonl", orient="records", lines=True
        )
