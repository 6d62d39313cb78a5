"""Do the intervals hold the truth, and is nobody called selective who is not? The tables of docs/coverage.md.

    python benchmarks/coverage.py [--workers 2] [--quick] [--only accuracies deception]   # simulate what is missing
    python benchmarks/coverage.py --table                                                 # write docs/coverage.md

Every batch of worlds of a cell is one line of ``--file``; a second call goes on where the first was stopped. A batch
counts only for the code that it was simulated with: comments and docstrings may change, what is computed may not. What
matters most comes first: accuracies and PGR at 1,000 items, false verdicts, deception; then everything else.
"""

from __future__ import annotations

import argparse
import ast
import copy
import dataclasses
import hashlib
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: What the cells of every family are computed with, those in which deception is measured, and those of many students.
STATS = [f"w2s_pref/analysis/stats/{name}.py" for name in ("bootstrap", "stat", "basics", "logistic")]
RULE = (*STATS, "benchmarks/coverage_cells.py")
GATES = [f"w2s_pref/analysis/deception/{name}.py" for name in ("adjusted", "gates", "lift", "measures")]
WORLDS = [f"w2s_pref/organisms/{name}.py" for name in ("confounded", "flips", "organisms", "simulation", "worlds")]
FAMILIES = ("w2s_pref/analysis/stats/families.py", "benchmarks/coverage_verdicts.py")
RECOVERED = "w2s_pref/analysis/preferences/generalization_measures.py"
SOURCES = {
    **dict.fromkeys(("accuracies", "slopes"), (*RULE, RECOVERED)),
    "small_gaps": (*RULE, RECOVERED, "benchmarks/coverage_ratios.py"),
    **dict.fromkeys(("deception", "risks", "verdicts", "power"), (*RULE, *GATES, *WORLDS)),
    "families": (*RULE, *GATES, *WORLDS, *FAMILIES),
}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SEEDS, SPREADS = (1, 2, 3, 5, 8), (0.0, 0.02, 0.05, 0.1)
#: Worlds of one line of the file, and families in the order in which they are simulated; others follow.
BATCH = 100
ORDER = ("accuracies", "collapses", "verdicts", "deception", "power")


def main() -> None:
    """Simulate, or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--quick", action="store_true", help="a small fixed part: some minutes")
    parser.add_argument("--only", nargs="+", help="families of cells")
    parser.add_argument("--file", type=Path, default=ROOT / "coverage.jsonl", help="one line for each batch of worlds")
    parser.add_argument("--table", action="store_true", help="write docs/coverage.md from what is finished")
    given = parser.parse_args()
    for name in THREADS:
        os.environ[name] = "1"
    if given.table:
        from coverage_table import page

        lines = read(given.file)
        current = [line for line in lines if line["source"] == fingerprint(line["cell"]["family"])]
        (ROOT / "docs" / "coverage.md").write_text(page(merged(current)), encoding="utf-8")
        print(f"docs/coverage.md: {len(current)} batches; {len(lines) - len(current)} of other code are left out")
        return
    cells = quick() if given.quick else grid()
    there = sorted({cell.family for cell in cells})
    if unknown := set(given.only or ()) - set(there):
        sys.exit(f"--only: there is no family {', '.join(sorted(unknown))}; choose from {', '.join(there)}")
    chosen = [cell for cell in cells if given.only is None or cell.family in given.only]
    simulate(chosen, given.file, given.workers)


def grid() -> list[Any]:
    """Every cell; families of few seconds a cell first."""
    from coverage_cells import Cell
    from coverage_ratios import cells as small_gaps
    from coverage_verdicts import cells as verdicts

    cells: list[Any] = [
        Cell("accuracies", k, sd, n, icc)
        for n, icc, k, sd in product((1000, 400, 4000), (0.2, 0.0, 0.5), SEEDS, SPREADS)
    ]
    cells += [Cell("collapses", k, 0.02, collapse=0.3) for k in SEEDS[1:]]
    for family in ("slopes", "areas"):
        cells += [Cell(family, k, sd) for k, sd in product(SEEDS, SPREADS)]
    # One seed: the truth would be that of this seed, which large worlds of other seeds do not have.
    cells += [Cell("shares", k, sd) for k, sd in product(SEEDS, SPREADS) if k > 1 or not sd]
    for family in ("deception", "risks"):
        effects = [(0.0, 0.0), (0.02, 0.0), (0.05, 0.0), (0.1, 0.0), (0.0, 0.5)]
        cells += [
            Cell(family, k, sd, icc=0.0, rho=rho) for k, (sd, rho) in product(SEEDS, effects) if k > 1 or not sd + rho
        ]
    cells += [Cell("risks", k, sd, icc=0.0, skewed=True) for k in SEEDS[1:] for sd in (0.05, 0.1)]
    return [*cells, *small_gaps(), *verdicts()]


def quick() -> list[Any]:
    """What shows first when the rule is broken: few seeds that differ."""
    from coverage_cells import Cell
    from coverage_verdicts import Verdicts

    cells = grid()
    small = [c for c in cells if isinstance(c, Cell) and c.seeds in (2, 3) and c.items == 1000 and c.icc in (0.0, 0.2)]
    asked = [c for c in cells if isinstance(c, Verdicts) and c.case.items == 1000]
    found = [dataclasses.replace(cell, worlds=100) for cell in small if cell.sd in (0.0, 0.1)]
    return [*found, *(dataclasses.replace(cell, worlds=40) for cell in asked)]


def simulate(cells: list[Any], file: Path, workers: int) -> None:
    """Run the batches that the file lacks, each as one task, and append their lines as they finish."""
    sources = {cell.family: fingerprint(cell.family) for cell in cells}
    done = {(line["key"], line["first"], line["source"]) for line in read(file)}
    every = sorted(((cell, first) for cell in cells for first in range(0, cell.worlds, BATCH)), key=_rank)
    missing = [(cell, first) for cell, first in every if (cell.key, first, sources[cell.family]) not in done]
    print(f"{len(every)} batches, {len(every) - len(missing)} finished before; {workers} workers", flush=True)
    started = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        tasks = [pool.submit(run, cell, sources[cell.family], first) for cell, first in missing]
        for number, task in enumerate(as_completed(tasks), 1):
            line = task.result()
            append(file, line)
            left = (time.perf_counter() - started) / number * (len(missing) - number)
            print(
                f"{number}/{len(missing)}  {line['key']} from {line['first']}  {line['seconds']:.0f} s, "
                f"about {left / 60:.0f} min left",
                flush=True,
            )


def _rank(task: tuple[Any, int]) -> tuple[bool, int, int]:
    """Cells of the usual size before others, families in their order, and the worlds of one family side by side."""
    cell, first = task
    usual = cell.family != "accuracies" or (cell.items, cell.icc) == (1000, 0.2)
    return not usual, ORDER.index(cell.family) if cell.family in ORDER else len(ORDER), first


def run(cell: Any, source: str, first: int = 0) -> dict[str, Any]:
    """One batch of a cell as the file holds it."""
    started = time.process_time()
    worlds = range(first, min(first + BATCH, cell.worlds))
    found = cell.run(worlds)
    about = {"key": cell.key, "source": source, "first": first, "cell": {**cell.about(), "worlds": len(worlds)}}
    return {**about, "found": found, "seconds": round(time.process_time() - started, 1)}


def merged(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a cell: the counts, worlds and seconds of its batches added up."""
    cells: dict[str, dict[str, Any]] = {}
    for line in lines:
        if (all_ := cells.get(line["key"])) is None:
            cells[line["key"]] = copy.deepcopy(line)
            continue
        all_["cell"]["worlds"] += line["cell"]["worlds"]
        all_["seconds"] += line["seconds"]
        for name, counts in line["found"].items():
            all_["found"][name] = {what: count + counts[what] for what, count in all_["found"][name].items()}
    return list(cells.values())


def append(file: Path, line: dict[str, Any]) -> None:
    """One write of one line; it starts anew where a stop had cut off the one before."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, ("\n" + json.dumps(line)).encode())
    finally:
        os.close(handle)


def read(file: Path) -> list[dict[str, Any]]:
    """The file's lines, each batch's newest; a line cut off by a stop is left out."""
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for text in file.read_text(encoding="utf-8").split("\n")[1:] if file.exists() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            print(f"{file}: a line is cut off; its batch is simulated again", file=sys.stderr)
            continue
        found[line["source"], line["key"], line["first"]] = line
    return list(found.values())


def fingerprint(family: str) -> str:
    """Digest of what is computed: the sources without comments and docstrings."""
    digest = hashlib.sha256()
    for source in SOURCES.get(family, RULE):
        tree = ast.parse((ROOT / source).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                del node.body[0]
        digest.update(source.encode() + ast.dump(tree).encode())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    main()
