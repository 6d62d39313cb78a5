"""The tests marked ``gpu``, as one JSON file: part of ``gpu.py``.

    python benchmarks/gpu_tests.py --json FILE [PYTEST ARGUMENT …]

The file is written after every test, so that a test that ends the process hides no other.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


class Record:
    """Outcome, seconds and the end of the message of every test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins: what ends the process in it is seen by this word."""
        self.found[nodeid.split("::", 1)[1]] = {"outcome": "began", "seconds": 0.0, "said": ""}
        self.write()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up, call and tear-down: the worst of them counts."""
        entry = self.found[report.nodeid.split("::", 1)[1]]
        entry["seconds"] = round(entry["seconds"] + report.duration, 2)
        if report.outcome != "passed" or entry["outcome"] == "began":
            entry["outcome"] = report.outcome
        if report.outcome != "passed":
            entry["said"] = str(report.longrepr)[-2500:]
        entry["measured"] = dict(report.user_properties)
        self.write()

    def write(self) -> None:
        """What is known so far."""
        self.path.write_text(json.dumps(self.found, indent=1, default=str), encoding="utf-8")


def main() -> int:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    options, more = parser.parse_known_args()
    words = [str(ROOT / "tests" / "gpu"), "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short", *more]
    return int(pytest.main(words, plugins=[Record(options.json)]))


if __name__ == "__main__":
    sys.exit(main())
