"""Everything that needs one GPU (H100 class), offline, in one call of bounded time.

    python benchmarks/gpu.py --budget-minutes 9 --out FOLDER       # gpu.json, gpu.md, gpu.log
    python benchmarks/gpu.py --only tests rows=speed               # some parts, or some of a part
    python benchmarks/gpu.py --only profile --budget-minutes 3     # where the time of a step goes
    python benchmarks/gpu.py --only studies --budget-minutes 20    # real models, real pairs (gpu_studies.py)
    python benchmarks/gpu.py --tiny --device cpu                   # a rehearsal: the figures mean nothing

Parts, in order of importance: ``training`` (``training.py``: reward model and DPO steps beside stock TRL, models of
0.5 and 1.5 billion random weights in Qwen2.5's shapes, bfloat16, 64 pairs a step, lengths of HH pairs), ``profile``
(``gpu_profile.py``: kernels of a reward step, and what remedies change), ``tests`` (``tests/gpu``), ``rows``
(``gpu_rows.py``: SDPA beside FlexAttention) and ``recipes`` (the quickstart on the GPU and on the CPU, to the same
verdicts). ``training=reward-1.5B,dpo-0.5B``, ``profile=NAME,NAME``, ``tests=WORDS`` (pytest's ``-k``, nothing beside
it) and ``rows=speed`` name some of a part; ``--ends`` gives the shares of the budget by which the parts have ended.
Every command is a process of its own that is ended when its part's share of the budget is used up; time that a part
leaves is the next one's. Results are written after each command, with the end of what it printed where it failed. Real
weights come in by ``studies`` alone, from ``runs/models`` (``scripts/get_models.sh``), which runs only where it is
named: the quick parts need none.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu_tables import tables, verdicts_of

HERE = Path(__file__).parent
ROOT = HERE.parent
#: Parts and the share of the budget by which each has to have ended.
ENDS = {"training": 0.4, "profile": 0.55, "tests": 0.68, "rows": 0.82, "recipes": 1.0, "studies": 1.0}
#: Of the training part: what is measured, and the share of the part's time for each.
TRAININGS = (("reward", "1.5B", 0.3), ("dpo", "1.5B", 0.3), ("reward", "0.5B", 0.2), ("dpo", "0.5B", 0.2))
#: Pairs at a time of stock TRL, the most that 80 GB should hold and half of it (measured first).
MICRO = {"1.5B": ["16", "8"], "0.5B": ["32", "16"]}
#: Seconds that a process takes to start, and that one variant of a training takes.
START, VARIANT = 20.0, 18.0


@dataclass
class Call:
    """One command, and how it ended.

    Attributes:
        name: of its results.
        found: the file where it writes them, JSON.
        status: exit status; None where it was ended.
        tail: the end of what it printed.
    """

    name: str
    words: list[str]
    found: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    seconds: float = 0.0
    tail: str = ""

    def said(self) -> dict[str, Any]:
        """What is kept of it."""
        kept: dict[str, Any] = {"command": shlex.join(self.words), "status": self.status, "seconds": self.seconds}
        try:
            read = json.loads(self.found.read_text()) if self.found else None
            kept["results"] = verdicts_of(read) if self.name.startswith("quickstart") else read
        except (OSError, ValueError) as error:
            kept["results"] = None
            kept["no results"] = str(error)
        return kept | {"printed": self.tail}


class Session:
    """The budget, the log and the results so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.begun = options, time.monotonic()
        self.work = Path(tempfile.mkdtemp(prefix="w2s-gpu-"))
        self.found: dict[str, Any] = {"arguments": sys.argv[1:], "calls": {}}
        options.out.mkdir(parents=True, exist_ok=True)
        self.log = (options.out / "gpu.log").open("w", encoding="utf-8")

    def left(self, share: float = 1.0) -> float:
        """Seconds until that share of the budget is used up."""
        return share * self.options.budget_minutes * 60 - (time.monotonic() - self.begun)

    def run(self, *calls: Call, seconds: float) -> None:
        """Commands side by side, each ended with all its processes after ``seconds``; then everything is written."""
        if not calls:
            return
        started = [self._start(call) for call in calls]
        end = time.monotonic() + seconds
        for call, process, log, begun in started:
            try:
                call.status = process.wait(max(1.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                call.status = None
            call.seconds = round(time.monotonic() - begun, 1)
            _end(process)
            call.tail = log.read_text(errors="replace")[-6000:]
            self.found["calls"][call.name] = call.said()
            self.log.write(
                f"\n=== {call.name}: {shlex.join(call.words)}\n{log.read_text(errors='replace')[-200000:]}\n"
            )
            print(f"{call.name}: status {call.status}, {call.seconds:.0f} s; {self.left():.0f} s left", flush=True)
            if call.status != 0:
                print("\n".join(call.tail.splitlines()[-12:]), flush=True)
        self.write()

    def _start(self, call: Call) -> tuple[Call, subprocess.Popen[bytes], Path, float]:
        log = self.work / f"{call.name.replace(' ', '-')}.log"
        environment = {**_environment(self.options), **call.environment}
        with log.open("wb") as handle:
            process = subprocess.Popen(
                call.words, cwd=ROOT, env=environment, stdout=handle, stderr=subprocess.STDOUT, start_new_session=True
            )
        return call, process, log, time.monotonic()

    def write(self) -> None:
        """The results so far, as JSON and as tables."""
        self.log.flush()
        (self.options.out / "gpu.json").write_text(json.dumps(self.found, indent=1), encoding="utf-8")
        (self.options.out / "gpu.md").write_text(tables(self.found), encoding="utf-8")


def _environment(options: argparse.Namespace) -> dict[str, str]:
    """For every command: this repository, no network, not more threads than help one process that feeds a GPU."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    more = {"CUDA_VISIBLE_DEVICES": ""} if options.device == "cpu" else {}
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "4"), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **offline, **threads, **more, "PYTHONPATH": path}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of a command: it has a process group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def training(session: Session, end: float) -> None:
    """Steps beside stock TRL; ours first, so that it is measured whatever happens to the others."""
    tiny = session.options.tiny
    chosen = session.options.only["training"].split(",")
    todo = [each for each in TRAININGS if f"{each[0]}-{each[1]}" in chosen or chosen == [""]]
    todo = todo[2:] if tiny and len(todo) > 2 else todo
    while todo:
        seconds = max(30.0, session.left(end) * todo[0][2] / sum(share for *_, share in todo))
        part, size, _ = todo.pop(0)
        found = session.work / f"{part}-{size}.json"
        model, lengths = ("1M", "harmless") if tiny else (size, "helpful")
        batch, micro, steps = (2, ["1"], 1) if tiny else (64, MICRO[size], 5)
        names = [*(f"TRL, {each} " for each in micro), "w2s-pref"]
        words = [
            sys.executable, str(HERE / "training.py"), part, "--model", model, "--lengths", lengths, "--batch",
            str(batch), "--micro", *micro, "--steps", str(steps), "--rounds", "1", "--discard",
            "0" if tiny else "1", "--learning-rate", "1e-5",
            "--threads", "1" if tiny else "4", "--variants", *names, "--json", str(found),
            "--seconds", str(max(15.0, seconds - START - VARIANT)),
        ]  # fmt: skip
        words += [] if tiny else ["--bf16"]
        session.run(Call(f"{part} {size}", words, found), seconds=seconds)


def profiled(session: Session, end: float) -> None:
    """Kernels of a reward step."""
    found = session.work / "profile.json"
    words = [sys.executable, str(HERE / "gpu_profile.py"), "--json", str(found), *["--tiny"] * session.options.tiny]
    some = session.options.only["profile"]
    words += ["--variants", *some.split(",")] if some else []
    words += ["--seconds", str(max(10.0, session.left(end) - START - VARIANT))]
    session.run(Call("profile", words, found), seconds=max(30.0, session.left(end)))


def tests(session: Session, end: float) -> None:
    """What is marked ``gpu``; beside it, as neither is timed, the launch under FSDP2 and the quickstart on the CPU."""
    calls, only = [], session.options.only["tests"]
    for name, words in (("tests", only),) if only else (("tests", "not fsdp2"), ("tests fsdp2", "fsdp2")):
        found = session.work / f"{name.replace(' ', '-')}.json"
        calls.append(Call(name, [sys.executable, str(HERE / "gpu_tests.py"), "--json", str(found), "-k", words], found))
    calls += [] if only else _quickstart(session, "cpu")
    session.run(*calls, seconds=max(30.0, session.left(end)))


def rows(session: Session, end: float) -> None:
    """SDPA beside FlexAttention."""
    found = session.work / "rows.json"
    words = [sys.executable, str(HERE / "gpu_rows.py"), "--json", str(found), *["--tiny"] * session.options.tiny]
    words += ["--only", *session.options.only["rows"].split(",")] if session.options.only["rows"] else []
    words += ["--seconds", str(max(10.0, session.left(end) - START))]
    session.run(Call("rows", words, found), seconds=max(30.0, session.left(end)))


def recipes(session: Session, end: float) -> None:
    """The quickstart on the GPU: wall time, and whether its verdicts are those of the CPU."""
    calls = _quickstart(session, "gpu") if session.options.device == "cuda" else []
    if "quickstart cpu" not in session.found["calls"]:
        calls += _quickstart(session, "cpu")
    session.run(*calls, seconds=max(30.0, session.left(end)))


def _quickstart(session: Session, device: str) -> list[Call]:
    output = session.work / device
    words = [sys.executable, "-m", "w2s_pref", "run", "recipes/quickstart.yaml", f"output={output}"]
    if session.options.tiny:
        words += ["seeds=[0]", "data.splits={gt: 64, w2s: 64, test: 100, conflict: 64, conflict_test: 40}"]
        words += ["arms={direct: [weak, strong]}", "conflict.settings=[none]", "analysis.resamples=100"]
    environment = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    return [Call(f"quickstart {device}", words, output / "quickstart" / "results.json", environment)]


def studies(session: Session, end: float) -> None:
    """The recipes of real models, side by side until the time is used up; they stay in ``runs/gpu``."""
    found, seconds = session.work / "studies.json", max(30.0, session.left(end))
    words = [sys.executable, str(HERE / "gpu_studies.py"), "--json", str(found), "--output", str(ROOT / "runs" / "gpu")]
    words += ["--seconds", str(max(10.0, seconds - 2 * START)), *["--tiny"] * session.options.tiny]
    words += ["--only", *session.options.only["studies"].split(",")] if session.options.only["studies"] else []
    session.run(Call("studies", words, found), seconds=seconds)


PARTS: dict[str, Callable[[Session, float], None]] = {
    "training": training, "profile": profiled, "tests": tests, "rows": rows, "recipes": recipes, "studies": studies
}  # fmt: skip


def main() -> None:
    """Run the parts, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget-minutes", type=float, default=9.0)
    parser.add_argument("--only", nargs="+", default=list(PARTS)[:-1],
                        help=f"of {', '.join(PARTS)}; PART=SOME of a part")  # fmt: skip
    parser.add_argument("--ends", type=float, nargs="+", help="shares of the budget by which those parts have ended")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes: the figures mean nothing")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder for gpu.json, gpu.md and gpu.log")
    options = parser.parse_args()
    options.only = {name: some for name, _, some in (each.partition("=") for each in options.only)}
    if unknown := options.only.keys() - PARTS.keys():
        parser.error(f"no such part: {', '.join(unknown)}")
    session = Session(options)
    last = max(ENDS[name] for name in options.only)
    ends = options.ends or [ENDS[name] / last for name in options.only]
    for name, end in zip(options.only, ends, strict=True):
        if session.left() < 20:
            print(f"{name}: left out, the budget is used up", flush=True)
            session.found["calls"][name] = {"status": None, "printed": "left out, the budget is used up"}
            continue
        PARTS[name](session, end)
    session.write()
    print(tables(session.found), flush=True)


if __name__ == "__main__":
    main()
