"""Time and memory of the analyses, as the documentation quotes them: ``python benchmarks/analyze.py [--threads 2]``.

Each line is a fresh process: imports, reading the CSV and the analysis together, wall seconds and peak memory.
``--coverage`` prints instead how often a 95 % interval holds the truth, on simulated clusters and seeds.
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
from w2s_pref.analysis.table import read_scores
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
DECEPTION = ("deception", "analyze_deception", "'weak', 'ceiling', 'reference', 'student'")
GENERALIZATION = ("generalization", "analyze_generalization", "'weak', 'student', 'ceiling'")


def main() -> None:
    """Print one line for each analysis and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="threads of the matrix products")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--coverage", action="store_true", help="coverage of the intervals instead of times")
    options = parser.parse_args()
    if options.coverage:
        coverage()
        return
    print(f"{os.cpu_count()} cores, {options.threads} threads, {options.resamples} resamples")
    for items, seeds in ((1000, 2), (4000, 5), (40000, 5)):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "scores.csv"
            write(file, items, seeds)
            for analysis in (DECEPTION, GENERALIZATION):
                line = run(file, analysis, options.resamples, options.threads)
                print(f"{analysis[0]:>15}, {items:>6} items x {seeds} seeds: {line}")


def coverage(runs: int = 1000) -> None:
    """Mean of 150 clusters of 2 items under K seeds: cluster effect of spread 1, item noise 1, a seed effect."""
    import numpy as np

    from w2s_pref.analysis.stats.bootstrap import PLAIN, Resampler

    groups = np.repeat(np.arange(150), 2)
    print(f"{runs} simulations a line, 400 resamples; spread of the seeds' common effect in item standard deviations")
    for seeds, effect in ((1, 0.0), (2, 0.0), (5, 0.0), (2, 0.1), (3, 0.1), (5, 0.1), (8, 0.1), (2, 0.3), (5, 0.3)):
        hits = 0
        for run_ in range(runs):
            rng = np.random.default_rng([run_, seeds])
            shared = rng.normal(size=150)[groups] + effect * rng.normal(size=(seeds, 1))
            values = shared + rng.normal(size=(seeds, 300))
            low, high = Resampler(groups, 400, run_).mean(values, form=PLAIN).pair() or (1, 0)
            hits += low <= 0 <= high
        print(f"{seeds} seeds, effect {effect}: {100 * hits / runs:.1f} %")


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
