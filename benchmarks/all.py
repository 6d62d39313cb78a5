"""Every benchmark, one after the other: the tables of docs/performance.md.

    python benchmarks/all.py [--only training scoring] [--out FILE.md]

Each runs in a process of its own on an otherwise idle machine (about half an hour on two cores). What it prints stands
under its command, after a line that names machine, versions and date. On a GPU trainings and rows of models of 0.5 and
1.5 billion parameters follow, in bfloat16.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
COMMANDS: dict[str, list[list[str]]] = {
    "training": [["training.py"]],
    "scoring": [["scoring.py"]],
    "overhead": [["overhead.py", "--clock", "wall"]],
    "tokens": [["tokens.py"]],
    "large_data": [["large_data.py", "--data", "../shared/data/hh"]],
    "policies": [["policies.py", "ppo"], ["policies.py", "shared"]],
    "monitor": [["monitor.py"]],
    "commands": [["commands.py"]],
    "analyze": [["analyze.py"]],
}
ON_GPU = [["gpu.py", "--only", "training", "rows", "--budget-minutes", "7"]]


def machine() -> str:
    """Machine, versions, date."""
    import torch

    packages = ("torch", "trl", "transformers", "accelerate", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    processor = platform.processor() or platform.machine()
    if torch.cuda.is_available():
        processor = torch.cuda.get_device_name()
    return (
        f"{datetime.date.today()}, {processor}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    )


def main() -> int:
    """Run them; the exit status says how many failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--out", type=Path, help="write the tables to this file as well")
    given = parser.parse_args()
    import torch

    lines, failed = [machine()], 0
    commands = [command for name in given.only for command in COMMANDS[name]]
    if torch.cuda.is_available() and "training" in given.only:
        commands += ON_GPU
    for command in commands:
        done = subprocess.run([sys.executable, *command], cwd=HERE, capture_output=True, text=True, check=False)
        failed += done.returncode != 0
        said = done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr.strip()[-800:]}"
        lines.append(f"\n`python benchmarks/{' '.join(command)}`\n\n{said}")
        print(lines[-1], flush=True)
    if given.out is not None:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(main())
