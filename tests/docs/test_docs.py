"""The pages say what is: links lead somewhere, commands and recipes exist, the recipe tables are current."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer
import yaml
from script_helpers import load_script

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
RECIPE = re.compile(r"recipes/[\w./-]+\.(?:yaml|py)")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """The page without blocks of code, where brackets mean other things."""
    return re.sub(r"^ *```.*?^ *```", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> list[str]:
    """Every ``w2s …`` of a page: lines of code blocks (continued ones joined) and code between backticks."""
    text = re.sub(r" *\\\n\s*", " ", text_of(page))
    fenced = re.findall(r"```(.*?)```", text, flags=re.DOTALL)
    blocks = "\n".join([*fenced, *re.findall(r"^    .+$", text, flags=re.MULTILINE)])
    lines = re.findall(r"^\s*(?:\$ )?(w2s [a-z].+)$", blocks, flags=re.MULTILINE)
    inline = re.findall(r"`(w2s [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [re.split(r"\s+#|\s[→…]", line)[0].strip() for line in [*lines, *inline]]


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{names(page)}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{names(page)}: {target}"


@cache
def w2s() -> Any:
    """The command with all that are below it."""
    from w2s_pref.cli.main import app

    return typer.main.get_command(app)


def problem(line: str) -> str | None:
    """What is wrong with one ``w2s`` command line: an unknown command or option. Arguments are not read."""
    words = shlex.split(line)[1:]
    command = w2s()
    while words and hasattr(command, "commands"):
        if words[0] == "--help":
            return None
        if words[0] not in command.commands:
            return f"there is no command {words[0]!r}"
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in {*known, "--help"}]
    return f"there is no option {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_commands_exist(page: Path) -> None:
    for line in commands(page):
        assert problem(line) is None, f"{names(page)}: {line}: {problem(line)}"


def test_the_check_of_commands_sees_mistakes() -> None:
    assert problem("w2s run recipe.yaml key=value") is None
    assert problem("w2s analyze deception scores.csv --weak W --json f.json") is None
    assert problem("w2s inspect data recipe.yaml --split w2s") is None
    assert "no command 'rnu'" in str(problem("w2s rnu recipe.yaml"))
    assert "no option --wek" in str(problem("w2s analyze deception scores.csv --wek W"))
    assert sum(len(commands(page)) for page in PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_recipes_named_exist(page: Path) -> None:
    for path in RECIPE.findall(text_of(page)):
        assert (ROOT / path).is_file(), f"{names(page)}: {path}"


def test_every_page_is_in_the_index() -> None:
    index = set(LINK.findall(text_of(ROOT / "docs" / "README.md")))
    missing = {page.name for page in (ROOT / "docs").glob("*.md")} - index - {"README.md"}
    assert not missing


def test_recipe_tables_are_current() -> None:
    """Else: python scripts/recipe_table.py."""
    module = load_script("scripts/recipe_table")
    text = text_of(module.PAGE)
    assert module.page(text) == text


def test_recipe_tables_hold_every_key() -> None:
    from w2s_pref.training.arguments import DEFAULTS
    from w2s_pref.training.refused import OURS

    module = load_script("scripts/recipe_table")
    tables = module.tables()
    for prefix, section in module.SECTIONS.values():
        for name in section.model_fields:
            assert f"| `{prefix}{name}` |" in tables
    for name in (*DEFAULTS, *OURS):
        assert f"| `{name}` |" in tables


def test_citation() -> None:
    from w2s_pref import __version__

    citation = yaml.safe_load(text_of(ROOT / "CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["version"] == __version__
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", citation["date-released"])
    assert all({"type", "title", "authors"} <= entry.keys() for entry in citation["references"])
    cited = " ".join(entry["url"] for entry in citation["references"])
    assert all(number in cited for number in ("2406.11431", "2312.09390", "2604.25077"))


def test_changelog_names_the_version() -> None:
    from w2s_pref import __version__

    assert f"## [{__version__}] - " in text_of(ROOT / "CHANGELOG.md")


def test_license_is_whole() -> None:
    license_text = text_of(ROOT / "LICENSE")
    assert "Apache License" in license_text
    assert "END OF TERMS AND CONDITIONS" in license_text
    assert license_text.rstrip().endswith("limitations under the License.")
