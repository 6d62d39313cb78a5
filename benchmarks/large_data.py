"""A preference set of HH-RLHF's size: seconds and peak memory to plan a recipe on it, and to tokenise it, twice.

    python benchmarks/large_data.py --data FOLDER        # parquet files with prompt, chosen, rejected

The pairs of the folder are repeated, each copy with a number in its prompt, until there are 160,800 as in HH-RLHF's
training set. Plan and tokenisation run in processes of their own, so that the peak of one is not that of the other.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

PAIRS = 160_800
RECIPE = """
name: large
seeds: [0]
data:
  target: {{source: {file}, objective: harmless, on_bad_row: drop}}
  splits: {{gt: 80000, w2s: 60000, test: 20000}}
models:
  weak: {{path: {model}}}
  strong: {{path: {model}, training: {{learning_rate: 2.0e-5}}}}
conflict: {{settings: [none]}}
output: {folder}/runs
"""
TOKENISE = """
import sys
from pathlib import Path
import pandas as pd
from w2s_pref.data.token_cache import kept_in
from w2s_pref.data.tokens import tokenize
from w2s_pref.models.load import load_tokenizer
frame = pd.read_parquet(sys.argv[1]).rename(columns={"chosen": "a", "rejected": "b"})
frame = frame.assign(id=[str(at) for at in range(len(frame))], form="text")
with kept_in(Path(sys.argv[3])):
    done = tokenize(frame, load_tokenizer(sys.argv[2]), 512, starts=True)
print(f"{len(done.ids):,} pairs, {done.counts['tokens']:,} tokens", file=sys.stderr)
"""
MEASURED = """
import json, resource, runpy, sys, time
began = time.perf_counter()
try:
    runpy.run_path(sys.argv[1], run_name="__main__") if sys.argv[1].endswith(".py") else exec(sys.argv[1])
except SystemExit as end:
    assert not end.code, end.code
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print("MEASURED", json.dumps([time.perf_counter() - began, peak]))
"""


def repeated(folder: Path) -> pd.DataFrame:
    """``PAIRS`` pairs from all files of the folder that have the three columns."""
    frames = [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    names = ["prompt", "chosen", "rejected"]
    pairs = pd.concat([f[names] for f in frames if set(names) <= set(f.columns)], ignore_index=True)
    pairs = pairs[(pairs["chosen"].str.len() > 0) & (pairs["rejected"].str.len() > 0)]
    copies = -(-PAIRS // len(pairs))
    every = [pairs.assign(prompt=f"({copy}) " + pairs["prompt"]) for copy in range(copies)]
    return pd.concat(every, ignore_index=True).head(PAIRS)


def measured(name: str, code: str, *arguments: str) -> tuple[object, ...]:
    """Run Python in a process of its own: what it is, seconds, peak memory in GB."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, code, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    line = next(line for line in done.stdout.splitlines() if line.startswith("MEASURED"))
    _, peak = json.loads(line.removeprefix("MEASURED "))
    print(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "", file=sys.stderr)
    return name, time.perf_counter() - started, peak


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of preference pairs")
    parser.add_argument("--model", default="ladder/m", help="whose tokenizer")
    given = parser.parse_args()
    from w2s_pref.models.spec import resolve

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pairs.parquet"
        repeated(given.data).to_parquet(file, index=False)
        recipe = Path(folder) / "large.yaml"
        recipe.write_text(RECIPE.format(file=file, model=given.model, folder=folder), encoding="utf-8")
        model = str(resolve(given.model, Path.cwd()))
        plan = f"import sys; sys.argv = ['w2s', 'plan', {str(recipe)!r}]; from w2s_pref.cli.main import main; main()"
        # of the arguments, sys.argv[1] is the code itself, so the script's own begin at 2
        tokens = "import sys; sys.argv = sys.argv[1:]\n" + TOKENISE
        rows = [
            measured("w2s plan", plan),
            measured("tokenise", tokens, str(file), model, f"{folder}/tokens"),
            measured("tokenise again (cache)", tokens, str(file), model, f"{folder}/tokens"),
        ]
    print("| 160,800 pairs | s | peak memory, GB |\n|---|---|---|")
    for name, seconds, peak in rows:
        print(f"| {name} | {seconds:.1f} | {peak:.2f} |")


if __name__ == "__main__":
    main()
