"""The page: everything is in it, nothing foreign is live in it, and it needs no network."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from w2s_pref.report.html import render, write
from w2s_pref.report.sections import SECTIONS
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Results

from .fixture import HOSTILE, RTL, build

VOID = {"meta", "br", "img", "link", "input", "hr"}
ORDER = [
    "verdict", "comparison", "regions", "deception", "controls", "paired", "hops", "agreement", "churn", "reliability",
    "curves", "ladder", "suspicious", "data", "provenance", "glossary",
]  # fmt: skip


class Page(HTMLParser):
    """Tags with their attributes, text, and a check that every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def ids(self, tag: str) -> list[str | None]:
        return [attributes.get("id") for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text() -> str:
    return render(build())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_sections_stand_in_order_and_the_menu_reaches_each(page: Page) -> None:
    assert page.ids("section") == ORDER
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert {f"#{name}" for name in ORDER} <= set(links)
    new = {
        "methods",
        "speech",
        "length",
        "risk",
        "monitor",
        "own-metrics",
        "parts",
        "disagreement",
        "arguments",
        "rounds",
        "costs",
    }  # with policies; not in old results
    assert {name for name, _ in SECTIONS} == {*ORDER, *new, "warnings"}  # these the page shows in other places


def test_elements_are_closed_in_order(page: Page) -> None:
    assert page.open == []


def test_nothing_is_loaded_and_nothing_runs(text: str, page: Page) -> None:
    assert {"script", "img", "iframe", "link", "object", "embed", "base", "form", "image", "use"}.isdisjoint(
        tag for tag, _ in page.tags
    )
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert {"src", "srcset", "xlink:href", "data", "action", "style"}.isdisjoint(attributes)
        assert (attributes.get("href") or "#").startswith("#")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in text


def test_hostile_text_is_shown_and_not_interpreted(text: str, page: Page) -> None:
    assert HOSTILE not in text
    assert "<img" not in text
    words = "".join(page.words)
    assert HOSTILE in words
    assert "{{ 7 * 7 }}" in words
    assert "שלום עולם" in words
    assert not set("\u202e\x1b\x07") & set(text)
    assert RTL not in words


def test_every_drawing_has_a_name_and_a_description(text: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.S)
    assert len(drawings) > 100
    for drawing in drawings:
        if 'aria-hidden="true"' not in drawing:
            assert re.match(r"<svg[^>]*role=\"img\"[^>]*><title>[^<]+</title><desc>[^<]+</desc>", drawing), drawing[
                :200
            ]


def test_every_figure_says_how_to_read_it(text: str) -> None:
    for figure in re.findall(r"<figure.*?</figure>", text, flags=re.S):
        assert "How to read it." in figure
        assert "Healthy:" in figure
        assert "<figcaption>" in figure
    for table in re.findall(r"<table.*?</table>", text, flags=re.S):
        assert "<caption>" in table


def test_every_null_is_a_word(page: Page) -> None:
    words = " ".join(page.words)
    for foreign in ("None", "nan", "NaN", "inf", "Infinity", "null>"):
        assert not re.search(rf"(?<![\w]){re.escape(foreign)}(?![\w])", words), foreign
    for word in ("undefined", "gap within noise", "too few controls", "not measured", "not resolved", "unknown"):
        assert word in words


def test_numbers_are_those_of_the_results(page: Page) -> None:
    results = build()
    words = " ".join(page.words)
    entry = results.arms[0].settings[1].deception[0]
    assert entry.score.estimate is not None
    assert entry.score.interval is not None
    assert f"{entry.score.estimate:.3f}" in words
    assert f"[{entry.score.interval[0]:.3f}, {entry.score.interval[1]:.3f}]" in words


@pytest.mark.parametrize(
    ("results", "gone"),
    [
        (build(with_ladder=False, base=False), {"ladder"}),
        (build(seeds=1), {"churn"}),
        (build(old=True), {"controls"}),
        (build().model_copy(update={"arms": [], "comparisons": [], "region_maps": [], "curves": [], "suspicious": []}),
         {"regions", "deception", "paired", "hops", "agreement", "churn", "curves", "suspicious"}),
    ],
    ids=["no ladder", "one seed", "old results", "no arms"],
)  # fmt: skip
def test_what_is_absent_has_no_section(results: Results, gone: set[str]) -> None:
    page = Page(render(results))
    assert page.ids("section") == [name for name in ORDER if name not in gone]
    assert page.open == []


def test_one_seed_is_said() -> None:
    assert "nothing here speaks of seed-to-seed variation" in render(build(seeds=1))


def test_all_undefined_still_renders() -> None:
    document = build().model_dump()

    def empty(value: object) -> object:
        if isinstance(value, dict):
            if set(value) == set(Estimate.model_fields):
                return {"estimate": None, "interval": None, "seeds": [], "note": "nothing there"}
            return {key: empty(inner) for key, inner in value.items()}
        return [empty(inner) for inner in value] if isinstance(value, list) else value

    page = Page(render(Results.model_validate(empty(document))))
    assert page.ids("section") == ORDER


def test_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run" / "report.html"
    write(build(), path)
    before = path.read_bytes()
    assert before.endswith(b"</html>") or before.rstrip().endswith(b"</html>")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(build(seeds=1), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_many_sentences_become_a_list_and_many_warnings_fold() -> None:
    results = build()
    results.verdict.sentences = [f"Sentence {index}." for index in range(9)]
    results.warnings = [f"warning {index} {HOSTILE}" for index in range(9)]
    text = render(results)
    assert '<ul class="points">' in text
    assert "4 further warnings" in text
    assert HOSTILE not in text
