"""Studies of real models side by side on one GPU, as far as a time goes: part of ``gpu.py``.

    bash scripts/get_models.sh runs/models
    python benchmarks/gpu_studies.py --seconds 1800 --output runs/gpu --json gpu-studies.json [--workers 14] [--tiny]
    python benchmarks/gpu_studies.py --only hh_reward=8 risk=4 …                 # some of them, with so many workers

Each of ``STUDIES`` is one ``w2s run`` on a store that all share. A small model leaves a GPU idle between its kernels,
so several processes share it. When a study has ended, its workers help the first one that has not; when the time is
used up, all are told to stop, and the same command goes on from there. One that fails is started again, three times.
Matrix products in float32, which is what scores are computed in, are TF32 (``--float32``: as they are).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
#: Recipe of ``recipes/real``, share of the workers, and what is changed: what one GPU does in the time of a coffee.
STUDIES: dict[str, tuple[int, list[str]]] = {
    "hh_reward": (9, []),
    "hh_policies": (
        5,
        ["students=[reward, ppo]", "methods.dpo=null", "methods.simpo=null", "data.splits.gt=2000",
         "data.splits.w2s=1500", "data.splits.test=1500", "methods.ppo.training.total_episodes=512"],
    ),
    "risk": (0, ["data.splits.test=1500"]),
    "ethics_reward": (0, []),
}  # fmt: skip
#: A rehearsal: one seed, and models of no size.
SMALL = "{hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2}"
TINY = ["seeds=[0]", "data.splits={gt: 60, w2s: 60, test: 60, conflict: 40, conflict_test: 30}",
        "analysis.resamples=100", f"models.smollm2.from_config={SMALL}"]  # fmt: skip
TINY_OF = {
    "risk": ["data.splits.probe=30", "models.smollm2.freeze_layers=null", "speech.prompts=8"],
    "hh_policies": ["models.smollm2.lora=null", "speech.prompts=8", "methods.ppo.training.total_episodes=64"],
}
#: Seconds between two looks, those that a run gets to stop by itself; failures, and runs of one study side by side.
LOOK, PATIENCE, ATTEMPTS, MOST_RUNS = 2.0, 25.0, 3, 3


@dataclass
class Study:
    """One recipe: its command, the processes that work on it, and how they ended."""

    name: str
    words: list[str]
    share: int
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    failed: int = 0
    ended: float | None = None

    @property
    def over(self) -> bool:
        """It has ended, or is given up."""
        return self.ended is not None or (self.failed >= ATTEMPTS and not self.running)

    def start(self, workers: int, folder: Path, environment: dict[str, str]) -> None:
        """So many workers more, as a run of its own beside those that are there."""
        with (folder / f"{self.name}.log").open("ab") as log:
            self.running.append(
                subprocess.Popen([*self.words, "--workers", str(workers)], cwd=ROOT, env=environment, stdout=log,
                                 stderr=subprocess.STDOUT)
            )  # fmt: skip

    def said(self, folder: Path, begun: float) -> dict[str, Any]:
        """What is known of it."""
        file = folder / f"{self.name}.log"
        log = file.read_text(errors="replace") if file.is_file() else ""
        seconds = None if self.ended is None else round(self.ended - begun, 1)
        return {"command": shlex.join(self.words), "finished_s": seconds, "failed": self.failed, "printed": log[-3000:]}


def worked(studies: list[Study], workers: int, seconds: float, folder: Path, json_file: Path, tf32: bool) -> None:
    """Start everything, let those that are free help, and stop in time."""
    begun, environment = time.monotonic(), _environment(tf32)
    for study in studies:
        if study.share:
            study.start(study.share, folder, environment)
    while time.monotonic() - begun < seconds and any(not study.over for study in studies):
        time.sleep(LOOK)
        for study in studies:
            for process in [each for each in study.running if each.poll() is not None]:
                study.running.remove(process)
                if process.returncode == 0:
                    study.ended = study.ended or time.monotonic()
                else:
                    study.failed += 1
        _refill(studies, workers, folder, environment)
        json_file.write_text(json.dumps({each.name: each.said(folder, begun) for each in studies}, indent=1))
    _stop([process for study in studies for process in study.running])
    json_file.write_text(json.dumps({each.name: each.said(folder, begun) for each in studies}, indent=1))


def _refill(studies: list[Study], workers: int, folder: Path, environment: dict[str, str]) -> None:
    """Workers that have nothing to do go to the first study that has not ended."""
    busy = sum(int(process.args[-1]) for study in studies for process in study.running)  # type: ignore[index]
    for study in studies:
        if study.ended is None and study.failed < ATTEMPTS and busy < workers and len(study.running) < MOST_RUNS:
            free = min(workers - busy, max(1, study.share or workers))
            study.start(free, folder, environment)
            busy += free


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGINT)
    end = time.monotonic() + PATIENCE
    for process in processes:
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def _environment(tf32: bool) -> dict[str, str]:
    """One thread a worker, memory that grows in one piece, no network."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    own = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    more = {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"} if tf32 else {}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, **offline, **own, **more, "PYTHONPATH": path}


def _study(name: str, share: int, output: Path, tiny: bool) -> Study:
    words = [sys.executable, "-m", "w2s_pref", "run", f"recipes/real/{name}.yaml", *STUDIES[name][1]]
    return Study(name, [*words, *(TINY + TINY_OF.get(name, []) if tiny else []), f"output={output}"], share)


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--output", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--only", nargs="+", help=f"NAME[=WORKERS], of {', '.join(STUDIES)}")
    parser.add_argument("--float32", action="store_true", help="products in float32 stay as they are")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal: the figures mean nothing")
    options = parser.parse_args()
    given = [name.partition("=") for name in options.only or STUDIES]
    if unknown := [name for name, *_ in given if name not in STUDIES]:
        parser.error(f"no such study: {', '.join(unknown)}")
    shares = {name: int(workers) if workers else STUDIES[name][0] for name, _, workers in given}
    options.output.mkdir(parents=True, exist_ok=True)
    studies = [_study(name, share, options.output.resolve(), options.tiny) for name, share in shares.items()]
    worked(studies, options.workers, options.seconds, options.output, options.json, not options.float32)
    for study in studies:
        print(f"{study.name}: {'ended' if study.ended else 'not ended'}, failed {study.failed} times", flush=True)


if __name__ == "__main__":
    main()
