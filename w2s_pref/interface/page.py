"""What a notebook shows of an object: a little HTML in the notebook's own colours, light or dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def card(title: str, headline: str, sentences: Iterable[str] = (), table: str = "") -> str:
    """A title, a headline, sentences as a list. All text is escaped; ``table`` is HTML already."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    points = f'<ul style="margin:.3em 0 0;padding-left:1.2em">{items}</ul>' if items else ""
    return (
        '<div style="border-left:3px solid currentColor;padding:.2em .8em;max-width:60em">'
        f'<div style="opacity:.75">{escape(title)}</div><strong>{escape(headline)}</strong>{points}{table}</div>'
    )


def preformatted(text: str) -> str:
    """Text of a terminal, as it is."""
    return f'<pre style="line-height:1.25;overflow-x:auto">{escape(text)}</pre>'
