"""kill -9 at many moments of a small study, then the same command: every byte must be that of an undisturbed run.

    python benchmarks/kills.py [--kills 28] [--seed 0] [--folder FOLDER]

Each kill starts from an empty store, at the same path. Moments: anywhere in the run; while the run folder is written;
with two processes at work on the store, of which one is killed or both; ``--workers 2`` with all its processes. Two
undisturbed runs say which values are times; these, and how much a run had to compute, are not compared. Exit status 1
where a kill leaves anything else.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

#: Imported once, before processes are forked.
LOADED = [
    "w2s_pref.cli.main", "w2s_pref.launch.here", "w2s_pref.launch.workers", "w2s_pref.studies.finished",
    "w2s_pref.studies.preferences.run", "w2s_pref.report.html", "w2s_pref.training.policy", "w2s_pref.training.reward",
]  # fmt: skip
RECIPE = """
name: kills
seeds: [0]
data:
  target:   {source: testbed, objective: harmless}
  conflict: {source: testbed, objective: helpful}
  splits: {gt: 48, w2s: 48, test: 60, conflict: 24, conflict_test: 24}
  max_length: 64
models:
  weak:   {path: ladder/xs}
  strong: {path: ladder/s}
arms: {direct: [weak, strong]}
conflict: {settings: [none, explicit]}
training: {batch_size: 8, num_train_epochs: 1, learning_rate: 1.0e-3, save_steps: 2}
analysis: {resamples: 100}
output: runs
"""
#: What a run says about itself: how long it took, how much it computed (less where half a training stood), and the
#: hash over these in a manifest.
OF_THE_RUN = ("seconds", "created", "hash", "computed_tokens", "real_tokens")
TIMES = ("Computing time", "Created")


def start(folder: Path, *words: str) -> int:
    """``w2s WORDS`` in a process of its own, in ``folder``; its number."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    os.chdir(folder)
    with open("said.txt", "ab") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    sys.argv = ["w2s", *words]
    code = 1
    try:
        from w2s_pref.cli.main import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(pid: int) -> int:
    """Its exit status, minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def whole(folder: Path) -> int:
    """The undisturbed command; its exit status."""
    return ended(start(folder, "run", "kills.yaml"))


def fresh(place: Path) -> Path:
    """The study with nothing built, always at the same path."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "kills.yaml").write_text(RECIPE)
    return place


def content(place: Path) -> dict[str, Any]:
    """Every file under the run folder and the store: JSON as its values by dotted key, others as their bytes."""
    found: dict[str, Any] = {}
    for file in sorted((place / "runs").rglob("*")):
        name = str(file.relative_to(place))
        if file.is_dir():
            found[name + "/"] = ""
        elif file.suffix in {".json", ".jsonl"}:
            found |= flat(json.loads(file.read_text()), name)
        elif file.suffix in {".html", ".md"}:
            lines = enumerate(file.read_text().splitlines())
            found |= {f"{name}:{number}": line for number, line in lines if not any(what in line for what in TIMES)}
        else:
            found[name] = file.read_bytes()
    return found


def flat(value: Any, name: str) -> dict[str, Any]:
    """Dotted key → value of everything in a JSON tree."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        return {name: value}
    return {key: one for part, below in parts for key, one in flat(below, f"{name}.{part}").items()} or {name: "empty"}


def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """Names that only one of two has, or whose values differ."""
    return {name for name in one.keys() | other.keys() if one.get(name, ...) != other.get(name, ...)}


def of_the_run(name: str) -> bool:
    """Whether a value says how this run went, and not what it found."""
    return name.rpartition(".")[2] in OF_THE_RUN


def until(pids: list[int], ready: Callable[[], bool]) -> bool:
    """Wait for a moment; False where a process ended before it came."""
    while not ready():
        for pid in pids:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return False
        time.sleep(0.001)
    return True


def killed(place: Path, kind: str, share: float, seconds: float) -> bool:
    """Start the study, kill it at a moment, and wait for what goes on; False where it had ended before.

    Args:
        share: where in the time of an undisturbed run, 0 … 1 (of the run folder's writing: where in 0.3 s; of workers:
            where in the 5 s after their first artifact).
        seconds: of an undisturbed run.
    """
    words = ["run", "kills.yaml", *(["--workers", "2"] if kind == "workers" else [])]
    pids = [start(place, *words) for _ in range(2 if kind.startswith("two") else 1)]
    moment = time.monotonic() + share * seconds
    if kind == "run folder":
        caught = until(pids, lambda: any((place / "runs").glob(".kills*")))
        moment = time.monotonic() + 0.3 * share
    elif kind == "workers":  # which import everything anew: from the first artifact on
        caught = until(pids, lambda: any((place / "runs").glob("store/*/*/manifest.json")))
        moment = time.monotonic() + 5 * share
    else:
        caught = True
    caught = caught and until(pids, lambda: time.monotonic() >= moment)
    victims = pids[:1] if kind == "two, one killed" else pids
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        ended(pid)
    return caught


def plan(number: int) -> list[str]:
    """Kinds of kills, in turn."""
    kinds = ["anywhere", "run folder", "anywhere", "two, one killed", "anywhere", "two, both killed", "run folder"]
    return [*[kinds[at % len(kinds)] for at in range(number - 2)], "workers", "workers"]


def main() -> int:
    """Print a line for every kill, and how many left an undisturbed study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=28)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()
    place = (given.folder or Path(tempfile.mkdtemp(prefix="kills-"))) / "study"
    begun, times = time.monotonic(), []
    runs = []
    for _ in range(2):
        begun = time.monotonic()
        assert whole(fresh(place)) == 0, (place / "said.txt").read_text()
        times.append(time.monotonic() - begun)
        runs.append(content(place))
    unlike = differing(*runs)
    print(f"undisturbed: {times[0]:.1f} s, {times[1]:.1f} s; {len(runs[0])} values, {len(unlike)} differ: times")
    print("  " + ", ".join(sorted({name.rpartition(".")[2] for name in unlike})), flush=True)
    draw, equal, late = random.Random(given.seed), 0, 0
    kinds = plan(given.kills)
    for number, kind in enumerate(kinds, 1):
        share, caught = draw.random(), False
        while not caught:
            caught = killed(fresh(place), kind, share, times[1])
            late += not caught
            share *= 0.8
        left = len(list((place / "runs").rglob("*"))) if (place / "runs").is_dir() else 0
        status = whole(place)
        after = content(place)
        wrong = {name for name in differing(runs[0], after) - unlike if not of_the_run(name)}
        equal += status == 0 and not wrong
        print(f"{number:3} {kind:18} {left:4} files left, then status {status}, {len(wrong)} values differ", flush=True)
        for name in sorted(wrong)[:8]:
            print(f"      {name}: " + ("not there" if name not in after else "new" if name not in runs[0] else "other"))
    print(f"{equal} of {len(kinds)} equal ({late} moments came too late and were drawn earlier)")
    if given.folder is None:
        shutil.rmtree(place.parent)
    return int(equal != len(kinds))


if __name__ == "__main__":
    sys.exit(main())
