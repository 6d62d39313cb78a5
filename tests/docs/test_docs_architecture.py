"""What the pages say of the code is there: modules, functions, files; docs/architecture.md shows what comes out."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import ROOT

from w2s_pref.core.aliases import new_name
from w2s_pref.core.registry import PLUGINS

ARCHITECTURE = ROOT / "docs" / "architecture.md"
#: Pages that teach today's names. The changelog tells of old ones.
PAGES = sorted({*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")} - {ROOT / "CHANGELOG.md"})
#: Groups of entry points look like modules.
GROUPS = {PLUGINS, "w2s_pref.kinds"}
#: Dotted names anywhere on a page: in prose, in code, in recipes (``module:attr``).
NAME = re.compile(r"\bw2s_pref(?:\.[A-Za-z_]\w*)+(?::[A-Za-z_]\w*)?")
IMPORT = re.compile(r"\bfrom (w2s_pref[\w.]*) import ([\w, ]+)")
FILE = re.compile(r"\b(?:w2s_pref|tests|scripts|benchmarks)/[\w./-]*\w")


def resolve(name: str) -> object:
    """The module or what is in it; AttributeError or ImportError where there is no such thing."""
    parts = name.replace(":", ".").split(".")
    size = len(parts)
    while size > 1 and not _is_module(".".join(parts[:size])):
        size -= 1
    found: object = import_module(".".join(parts[:size]))
    for part in parts[size:]:
        found = getattr(found, part)
    return found


def _is_module(name: str) -> bool:
    assert new_name(name) is None, f"{name} is an old name; today's is {new_name(name)}"
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is no package
        return False


def names_on(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    imported = [f"{module}.{each.strip()}" for module, names in IMPORT.findall(text) for each in names.split(",")]
    return sorted({*NAME.findall(text), *imported} - GROUPS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_on_a_page_is_there(page: Path) -> None:
    for name in names_on(page):
        try:
            resolve(name)
        except (ImportError, AttributeError) as error:
            pytest.fail(f"{page.name} names {name}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_on_a_page_is_there(page: Path) -> None:
    for name in FILE.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_the_check_sees_names_that_are_not_there() -> None:
    assert resolve("w2s_pref.engine.stage.Stage.key") is not None
    with pytest.raises(AttributeError):
        resolve("w2s_pref.engine.stage.Stage.kee")
    with pytest.raises(AttributeError):
        resolve("w2s_pref.engine.stages.Stage")
    with pytest.raises(AssertionError, match=r"today's is w2s_pref\.losses\.margins"):
        resolve("w2s_pref.margins.dpo")


def test_a_pair_goes_from_file_to_verdict_in_twelve_steps_with_a_function_each() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    section = text.partition("## A pair, from file to verdict")[2].partition("\n## ")[0]
    steps = re.split(r"^\d+\. ", section.partition("\n\nStudents may be policies.")[0], flags=re.MULTILINE)[1:]
    assert [int(number) for number in re.findall(r"^(\d+)\. ", section, flags=re.MULTILINE)] == list(range(1, 13))
    for step in steps:
        named = [resolve(name) for name in re.findall(r"`(w2s_pref\.[\w.]+)`", step)]
        assert any(callable(each) for each in named), step


def test_the_keys_on_the_page_are_those_of_the_quickstart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else: run the code of the page, and put what it prints below it."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    code, shown = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", text, flags=re.DOTALL)[0]
    monkeypatch.chdir(ROOT)
    exec(compile(code, str(ARCHITECTURE), "exec"), {})
    assert capsys.readouterr().out == shown
