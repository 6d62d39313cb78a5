"""What mkdocs does to a page: links that leave docs/ become the name of the file, since the site has only docs/."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([\w./-]+?)(?:#[\w-]+)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return OUTSIDE.sub(r"\1 (`\2` in the repository)", markdown)
