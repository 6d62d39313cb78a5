"""Files that nothing runs here: the Dockerfile copies what is there, newest.sh says what broke, scripts are bash."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT
from script_helpers import load_script


@pytest.fixture(scope="module")
def newest() -> ModuleType:
    return load_script("scripts/newest")


def test_the_dockerfile_copies_what_is_there_and_not_ignored() -> None:
    text = (ROOT / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", text, flags=re.M) for name in line.split()]
    assert {"constraints.txt", "pyproject.toml", "w2s_pref"} <= set(copied)
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name in copied:
        assert (ROOT / name).exists(), name
        assert name in kept, f"{name} is ignored"
    links = [path for name in copied for path in (ROOT / name).rglob("*") if path.is_symlink()]
    for link in links:  # a link is copied as it is
        assert str(link.resolve().relative_to(ROOT).parts[0]) in copied, f"{link} leads out of the image"
    # what pyproject.toml reads while the package is built
    assert {"README.md", "LICENSE"} <= set(copied)
    assert re.search(r"^ARG DEVICE=cpu$", text, flags=re.M)
    assert text.rstrip().endswith('ENTRYPOINT ["w2s"]\nCMD ["--help"]')


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_bash(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_moved_versions_are_named(newest: ModuleType, tmp_path: Path) -> None:
    pins = newest.pinned()
    assert "mkdocs-material" in pins
    report = tmp_path / "report.json"
    found = [
        ("Transformers", "99.0"),
        ("torch", pins["torch"] + "+cpu"),  # the same release, built for another device
        ("numpy", pins["numpy"]),
        ("brand-new", "1.0"),
    ]
    metadata = [{"metadata": {"name": name, "version": version}} for name, version in found]
    report.write_text(json.dumps({"install": metadata}))
    assert newest.resolved(str(report)) == [
        f"transformers: {pins['transformers']} -> 99.0",
        "1 packages differ from constraints.txt; not pinned: brand-new",
    ]


def test_what_broke_is_named_with_its_reason(newest: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    case = '<testcase classname="tests.core" name="test_a">{}</testcase>'
    for inside, said in {
        "": ["nothing broke"],
        '<failure message="TypeError: no such argument&#10;more"/>': [
            "1 broke:",
            "tests.core::test_a: TypeError: no such argument",
        ],
        '<error message="ImportError: gone"/>': ["1 broke:", "tests.core::test_a: ImportError: gone"],
    }.items():
        file.write_text(f"<testsuites><testsuite>{case.format(inside)}</testsuite></testsuites>")
        assert newest.broken(str(file)) == said
