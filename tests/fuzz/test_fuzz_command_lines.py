"""Mutants of command lines: a sentence or an outcome, never a traceback and never a wait."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz_helpers import counted, fuzzed, judged, odd, summary, w2s, write_data
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz_recipes import BASES, NAMES

__all__ = ["summary"]

ROLES = ["--weak", "weak", "--student", "student", "--ceiling", "ceiling"]
#: Command lines that say something; nothing here trains.
LINES = [
    ["plan", "r.yaml"],
    ["plan", "r.yaml", "--missing", "--json", "plan.json"],
    ["plan", "r.yaml", "--cost", "--tflops", "100", "--mfu", "0.5", "--num-processes", "2"],
    ["plan", "r.yaml", "--cost", "--accelerate", "acc.yaml"],
    ["plan", "r.yaml", "training.batch_size=8", "seeds=[0]"],
    ["status"],
    ["status", "--output", "runs"],
    ["status", "r.yaml"],
    ["show", "runs/x"],
    ["compare", "runs/x", "runs/y"],
    ["inspect", "data", "r.yaml", "--split", "w2s", "--model", "weak", "--rows", "1"],
    ["tasks"],
    ["audit", "boolq", "--path", "x.csv", "--seed", "1"],
    ["init", "new", "--force"],
    [
        "score",
        "nowhere",
        "target.jsonl",
        "--out",
        "s.csv",
        "--column",
        "chosen=better",
        "--max-length",
        "9",
        "--append",
    ],
    ["analyze", "generalization", "s.jsonl", *ROLES, "--resamples", "100", "--seed", "1"],
    ["analyze", "risk", "s.jsonl", "--weak", "weak", "--strong", "student", "--ts", "0.7", "--resamples", "100"],
    ["analyze", "predictors", "s.jsonl", "--weak", "weak", "--strong", "student", "--resamples", "100"],
    ["analyze", "alarms", "runs/x", "--horizon", "0.3", "--level", "0.1"],
    ["schema", "recipe", "--kind", "chess"],
]
#: Where a path or a name may be written.
TRAPPED = [
    *("plan VALUE", "show VALUE", "compare VALUE", "status --output VALUE", "plan r.yaml --json VALUE", "init VALUE"),
    *("plan r.yaml store=VALUE", "plan r.yaml models.weak.path=VALUE", "plan r.yaml data.target.source=VALUE"),
    *("score VALUE target.jsonl --out s2.csv", "score m VALUE --out s2.csv", "schema --kind VALUE", "audit VALUE"),
    f"analyze generalization VALUE {' '.join(ROLES)}",
]
FILES = [
    "r.yaml",
    "acc.yaml",
    "target.jsonl",
    "s.jsonl",
    "s.csv",
    "runs",
    ".",
    "plan.json",
    "nowhere",
    "/proc/self/mem",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, with a recipe, its data and a score table."""
    folder = tmp_path_factory.mktemp("fuzz")
    write_data(folder)
    (folder / "r.yaml").write_text(BASES["preferences"])
    (folder / "acc.yaml").write_text("distributed_type: FSDP\nnum_processes: 2\n")
    (folder / "runs").mkdir()
    with (folder / "s.jsonl").open("w") as table:
        for at, model in enumerate(("weak", "student", "ceiling")):
            for item in range(12):
                row = {"id": item, "group": item, "model": model, "seed": 0, "delta": (item * (at + 3)) % 7 - 2.5}
                table.write(json.dumps(row) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@st.composite
def commands(draw: st.DrawFn) -> list[str]:
    """A command line with a word changed, gone, doubled, moved, or an override of any key by any value."""
    line = list(draw(st.sampled_from(LINES)))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(line)))
        what = draw(st.sampled_from(["word", "word", "gone", "again", "move", "override", "override", "file"]))
        value = draw(odd())
        text = value if isinstance(value, str) else json.dumps(value)
        if what == "word" and at > 0:
            line[at:] = [text, *line[at + 1 :]]
        elif what == "gone" and at > 0:
            line[at:] = line[at + 1 :]
        elif what == "again":
            line += line[at:]
        elif what == "move":
            line = [line[0], *line[at:], *line[1:at]] if at else line
        elif what == "override":
            line.append(f"{draw(st.sampled_from(NAMES['preferences']))}={text}")
        else:
            line[at:] = [draw(st.sampled_from(FILES)), *line[at + 1 :]]
    return line


@fuzzed(15)
@given(line=commands())
def test_command_lines(place: Path, line: list[str]) -> None:
    with judged("command lines", line):
        done = w2s(*line)
        counted("command lines", {0: "done", 1: "refused", 2: "no command line"}[done.code])


TRAPS = ["a\0b", "x" * 5000, "x" * 300, "~nobody-here/x"]


@pytest.mark.parametrize("words", [*TRAPPED, *["plan VALUE"] * 3])
def test_known_traps_are_sentences(place: Path, words: str, request: pytest.FixtureRequest) -> None:
    value = TRAPS[request.node.callspec.indices["words"] % len(TRAPS)]
    done = w2s(*(word.replace("VALUE", value) for word in words.split()))
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert len(done.err) < 3000
