"""What mkdocs does to a page: links that leave docs/ become the name of the file, since the site has only docs/."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([\w./-]+?)(?:#[\w-]+)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return OUTSIDE.sub(_named, markdown)


def _named(link: re.Match[str]) -> str:
    words, place = link.groups()
    return f"`{place}` in the repository" if words == place else f"{words} (`{place}` in the repository)"
