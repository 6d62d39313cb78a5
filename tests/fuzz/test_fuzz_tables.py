"""Mutants of preference files and of score tables: refused, read as what they say, or seen in the outcome."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fuzz_helpers import counted, fuzzed, judged, raw, summary, texts, trees, w2s, write_data
from hypothesis import given
from hypothesis import strategies as st

from w2s_pref.analysis.scores.table import read_scores

__all__ = ["summary"]

RECIPE = """
name: fuzz
seeds: [0]
data:
  target: {source: %s, objective: harmless}
  splits: {gt: 15, w2s: 15, test: 15}
  max_length: 64
models: {weak: {path: ladder/xs}, strong: {path: ladder/s}}
conflict: {settings: [none]}
"""
#: What commands make of the files themselves.
BASES: dict[tuple[str, Path], Any] = {}
ENDINGS = ["jsonl", "json", "csv", "parquet"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, with preferences and scores in every format."""
    folder = tmp_path_factory.mktemp("fuzz")
    write_data(folder)
    pairs = [json.loads(line) for line in (folder / "target.jsonl").read_text().splitlines()][:45]
    draw = np.random.default_rng(0)
    models = ("weak", "student", "ceiling")
    scores = [
        {"id": f"i{item}", "group": f"g{item // 2}", "model": model, "seed": seed, "delta": round(draw.normal(0.5), 3)}
        for model in models
        for seed in (0, 1)
        for item in range(8)
    ]
    for name, rows in (("pairs", pairs), ("scores", scores)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / f"{name}.json").write_text(json.dumps(rows))
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
        pd.DataFrame(rows).to_parquet(folder / f"{name}.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def meant(key: str, cell: str) -> str:
    """A cell, and of a number its value: .5 and 0.50 are one number."""
    try:
        return str(float(cell)) if key in {"seed", "delta"} else cell
    except ValueError:
        return cell


def rows_of(data: bytes, ending: str) -> list[dict[str, str]] | None:
    """What a file says, read in another way than the package does; None where this way sees no table in it."""
    try:
        if ending == "csv":
            text = data.decode("utf-8-sig")
            sign = ";" if "," not in text.partition("\n")[0] else ","
            rows = list(csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=sign))
            return [dict(zip(rows[0], map(str.strip, row), strict=True)) for row in rows[1:] if any(row)]
        if ending == "parquet":
            found = pd.read_parquet(io.BytesIO(data)).to_dict("records")
        elif ending == "json":
            found = json.loads(data.decode("utf-8-sig"))
        else:
            found = [json.loads(line) for line in data.decode("utf-8-sig").split("\n") if line.strip()]
        return [{key: str(value) for key, value in row.items()} for row in found]
    except Exception:
        return None


def mutants(folder: Path, name: str, ending: str) -> st.SearchStrategy[bytes]:
    """A file with something changed."""
    file = folder / f"{name}.{ending}"
    if ending == "parquet":
        data = file.read_bytes()
        rows = json.loads((folder / f"{name}.json").read_text())
        flipped = st.tuples(st.integers(0, len(data) - 1), st.integers(1, 255)).map(
            lambda change: data[: change[0]] + bytes([data[change[0]] ^ change[1]]) + data[change[0] + 1 :]
        )
        return flipped | st.integers(0, len(data)).map(lambda end: data[:end]) | trees(rows).map(parquet)
    changed = texts(file.read_text()).map(raw)
    if ending == "csv":
        return changed
    write = json.dumps if ending == "json" else lines
    return changed | trees(json.loads((folder / f"{name}.json").read_text())).map(write).map(raw)


def lines(rows: Any) -> str:
    """JSON lines, as far as there are rows."""
    return "\n".join(json.dumps(row) for row in (rows if isinstance(rows, list) else [rows]))


def parquet(rows: Any) -> bytes:
    """A Parquet file, as far as one can hold the rows."""
    out = io.BytesIO()
    try:
        pd.DataFrame(rows).to_parquet(out)
    except Exception:
        return b""
    return out.getvalue()


def check(
    kind: str, place: Path, name: str, ending: str, mutant: bytes, run: Callable[[str], Any], read: set[str]
) -> None:
    """Compare what a command makes of a mutant with what it makes of the file.

    Args:
        run: file → what the command found, None where it refused.
        read: columns that are read.
    """
    with judged(kind, mutant):
        (place / f"mutant.{ending}").write_bytes(mutant)
        if (kind, place) not in BASES:
            BASES[kind, place] = run(f"{name}.{ending}")
        base, found = BASES[kind, place], run(f"mutant.{ending}")
        if found is None:
            counted(kind, "refused")
        elif found != base:
            counted(kind, "seen")
        else:
            said = [rows_of(data, ending) for data in ((place / f"{name}.{ending}").read_bytes(), mutant)]
            if said[1] is not None:
                before, after = (
                    sorted(sorted((key, meant(key, row.get(key, ""))) for key in read) for row in rows or [])
                    for rows in said
                )
                assert before == after, "another table gave the same outcome"
            counted(kind, "without effect")


@pytest.mark.parametrize("ending", ENDINGS)
@fuzzed(4)
@given(draw=st.data())
def test_preference_files(place: Path, ending: str, draw: st.DataObject) -> None:
    mutant = draw.draw(mutants(place, "pairs", ending))

    def plan(source: str) -> Any:
        (place / "r.yaml").write_text(RECIPE % source)
        done = w2s("plan", "r.yaml", "--json", "plan.json")
        return json.loads((place / "plan.json").read_text()) | {"said": done.out} if done.code == 0 else None

    check(f"preferences ({ending})", place, "pairs", ending, mutant, plan, {"prompt", "chosen", "rejected", "id"})


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
@fuzzed(8)
@given(draw=st.data())
def test_score_tables(place: Path, ending: str, draw: st.DataObject) -> None:
    mutant = draw.draw(mutants(place, "scores", ending))

    def analysis(source: str) -> Any:
        roles = ("--weak", "weak", "--student", "student", "--ceiling", "ceiling")
        done = w2s("analyze", "generalization", source, *roles, "--resamples", "100", "--json", "found.json")
        return read_scores(source).astype(str).to_dict("list") if done.code == 0 else None

    check(f"scores ({ending})", place, "scores", ending, mutant, analysis, {"id", "group", "model", "seed", "delta"})
