"""A report of many arms stays one that a browser opens: the first entries, and pages of details for all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from w2s_pref.report import html, paging

from . import fixture


def test_many_arms_make_a_short_report_and_pages_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = {f"direct:m{at}" for at in range(8)}
    monkeypatch.setattr(fixture, "CHAINS", {name: ["tiny", "large"] for name in sorted(arms)})
    results = fixture.build(with_ladder=False)
    whole = len(html.render(results))
    monkeypatch.setattr(paging, "SHOWN", 6)
    monkeypatch.setattr(paging, "EACH", 40)
    html.write(results, tmp_path / "report.html")
    report = (tmp_path / "report.html").read_text()
    assert len(report) < whole / 2
    pages = sorted((tmp_path / "details").glob("*.html"))
    for name in ("deception", "regions"):
        assert f"details/{name}-1.html" in report
        text = "".join(page.read_text() for page in pages if page.name.startswith(name))
        assert set(re.findall(r"direct:m\d+", text)) == arms


def test_a_report_of_few_arms_has_no_other_page(tmp_path: Path) -> None:
    html.write(fixture.build(), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_parts_together_are_the_whole() -> None:
    results = fixture.build()
    for section in (make(results) for _, make in html.SECTIONS):
        if section is None:
            continue
        whole = paging.length(section.blocks)
        parts = [paging.part(section, start, start + 3) for start in range(0, max(whole, 1), 3)]
        assert sum(paging.length(part.blocks) for part in parts) >= whole
        assert all(paging.length(part.blocks) <= 3 for part in parts)
