"""The documentation as a site: it builds without a warning, holds every page, and is generated from what is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from script_helpers import load_script

pytest.importorskip("mkdocs", reason="scripts/environment.sh installs mkdocs")


def pages(nav: Any) -> list[str]:
    """Files of a navigation, in its order."""
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in pages(part)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, strict, so that every warning ends the build; in a plain theme and without the search index.

    Neither checks anything, and together they take three quarters of the time.
    """
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    place = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(place), theme={"name": "mkdocs"})
    assert config.strict
    del config.plugins["search"]
    for functions in config.plugins.events.values():
        functions[:] = [function for function in functions if "search" not in function.__module__]
    build(config)
    return place


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    from mkdocs.config import load_config

    config = load_config(str(ROOT / "mkdocs.yml"))
    assert config.theme.name == "material"
    assert {"search", "mkdocstrings"} <= {name.rpartition("/")[2] for name in config.plugins}
    listed = pages(config.nav)
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert set(listed) == there
    assert len(listed) == len(there)
    built = {path.relative_to(site).with_suffix(".md").as_posix() for path in site.rglob("*.html")}
    assert {page.replace("README", "index") for page in listed} <= built
    assert (site / "report.png").is_file()


def test_the_reference_is_generated_from_docstrings(site: Path) -> None:
    text = (site / "reference" / "analysis.html").read_text(encoding="utf-8")
    assert 'id="w2s_pref.analysis.deception.deception.analyze_deception"' in text
    assert "reward_bench_2" in text
    assert "smallest_found" in (site / "reference" / "results.html").read_text(encoding="utf-8")


def test_links_out_of_the_site_are_names_of_files(site: Path) -> None:
    text = (site / "architecture.html").read_text(encoding="utf-8")
    assert "<code>CONTRIBUTING.md</code> in the repository" in text
    for page in site.rglob("*.html"):
        assert not re.search(r'href="(?:\.\./)+(?:README|CONTRIBUTING|benchmarks)', page.read_text(encoding="utf-8"))


def test_the_glossary_is_that_of_the_reports() -> None:
    """Else: python scripts/glossary_page.py."""
    module = load_script("scripts/glossary_page")
    assert module.PAGE.read_text(encoding="utf-8") == module.page()
