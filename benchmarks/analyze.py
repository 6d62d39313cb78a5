"""Time and memory of the analyses, as the documentation quotes them: ``python benchmarks/analyze.py [--threads 2]``.

Each line is a fresh process: imports, reading the CSV and the analysis together, wall seconds and peak memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import resource, sys, time
start = time.perf_counter()
from w2s_pref.analysis.scores.table import read_scores
from w2s_pref.analysis.{module} import {function} as analyze
loaded = time.perf_counter()
scores = read_scores(sys.argv[1])
read = time.perf_counter()
analyze(scores, {roles}, resamples={resamples})
end = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{{end - start:6.2f}} s in all (import {{loaded - start:.2f}}, read {{read - loaded:.2f}}, "
      f"analysis {{end - read:.2f}}), peak {{peak:.0f}} MiB")
"""
DECEPTION = ("deception.deception", "analyze_deception", "'weak', 'ceiling', 'reference', 'student'")
GENERALIZATION = ("preferences.generalization", "analyze_generalization", "'weak', 'student', 'ceiling'")


def main() -> None:
    """Print one line for each analysis and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="threads of the matrix products")
    parser.add_argument("--resamples", type=int, default=2000)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, {options.threads} threads, {options.resamples} resamples")
    for items, seeds in ((1000, 2), (4000, 5), (40000, 5)):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "scores.csv"
            write(file, items, seeds)
            for analysis in (DECEPTION, GENERALIZATION):
                line = run(file, analysis, options.resamples, options.threads)
                print(f"{analysis[1].removeprefix('analyze_'):>15}, {items:>6} items x {seeds} seeds: {line}")


def write(file: Path, items: int, seeds: int) -> None:
    """A deceiver's score table, each item its own group (the costliest case)."""
    from w2s_pref.organisms.organisms import organism

    organism("deceiver", items, seeds, group_size=1, rho=0.2).to_csv(file, index=False)


def run(file: Path, analysis: tuple[str, str, str], resamples: int, threads: int) -> str:
    """One analysis in a process of its own."""
    module, function, roles = analysis
    code = CHILD.format(module=module, function=function, roles=roles, resamples=resamples)
    count = str(threads)
    environment = {**os.environ, "OMP_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count}
    done = subprocess.run([sys.executable, "-c", code, str(file)], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
