"""Wall time of the commands a user waits for: help, plan, quickstart, quickstart again.

    python benchmarks/commands.py [--quick]      # --quick leaves the first quickstart run out

Prints one Markdown row each. Run on an idle machine; nothing is asserted.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1"}


def seconds(*words: str, repeat: int = 1) -> float:
    """Best wall time of ``w2s WORDS``."""
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        subprocess.run(["w2s", *words], cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Print the table."""
    recipe = "recipes/quickstart.yaml"
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| command | seconds |\n|---|---|")
    print(f"| `w2s --help` | {seconds('--help', repeat=3):.2f} |")
    print(f"| `w2s plan {recipe}` | {seconds('plan', recipe, repeat=3):.2f} |")
    if "--quick" in sys.argv:
        return
    with tempfile.TemporaryDirectory() as folder:
        output = f"output={Path(folder) / 'runs'}"
        print(f"| `w2s run {recipe}`, first | {seconds('run', recipe, output):.1f} |", flush=True)
        print(f"| `w2s run {recipe}`, again | {seconds('run', recipe, output, repeat=3):.2f} |")


if __name__ == "__main__":
    main()
