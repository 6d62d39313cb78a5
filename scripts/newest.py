"""What scripts/newest.sh says: versions that differ from the pins, and the tests that broke.

python scripts/newest.py resolved REPORT    of pip's report of what it would install
python scripts/newest.py installed          of this environment
python scripts/newest.py broken JUNIT       failures of a pytest run, the reason of each in one line
"""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as xml
from importlib.metadata import distributions
from pathlib import Path

PINS = Path(__file__).parent.parent / "constraints.txt"


def normal(name: str) -> str:
    """A package's name as all spellings of it share it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    """Name -> version, as constraints.txt has them."""
    lines = [line for line in PINS.read_text(encoding="utf-8").splitlines() if "==" in line]
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines)}


def versions(found: dict[str, str]) -> list[str]:
    """One line for every pinned package that is there in another version; what is new and not pinned, counted."""
    pins = pinned()
    moved = [f"{name}: {pins[name]} -> {version}" for name, version in sorted(found.items()) if name in pins]
    moved = [line for line in moved if line.split(": ")[1].split(" -> ")[0] != line.split(" -> ")[1].split("+")[0]]
    new = sorted(found.keys() - pins.keys() - {"w2s-pref", "pip", "setuptools", "wheel"})
    return [*moved, f"{len(moved)} packages differ from constraints.txt; not pinned: {', '.join(new) or 'none'}"]


def resolved(report: str) -> list[str]:
    """Of pip's report: ``{"install": [{"metadata": {"name", "version"}}]}``."""
    items = [item["metadata"] for item in json.loads(Path(report).read_text(encoding="utf-8"))["install"]]
    return versions({normal(item["name"]): item["version"] for item in items})


def installed() -> list[str]:
    """Of this environment."""
    return versions({normal(each.metadata["Name"]): each.version for each in distributions()})


def broken(junit: str) -> list[str]:
    """Every test that failed, and the first line of why."""
    cases = xml.parse(junit).getroot().iter("testcase")
    failed = [(case, bad) for case in cases for bad in (*case.findall("failure"), *case.findall("error"))]
    if not failed:
        return ["nothing broke"]
    lines = [f"{case.get('classname')}::{case.get('name')}: {_first_line(bad.get('message'))}" for case, bad in failed]
    return [f"{len(failed)} broke:", *lines]


def _first_line(text: str | None) -> str:
    return next(iter((text or "").strip().splitlines()), "no reason given")


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    print(*{"resolved": resolved, "installed": installed, "broken": broken}[command](*rest), sep="\n")
