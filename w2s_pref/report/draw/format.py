"""Numbers and foreign text as words. The terminal, the page and the cards all write a number the same way."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from w2s_pref.results.estimates import Estimate, Interval

UNDEFINED: Final = "undefined"
NOT_MEASURED: Final = "not measured"
NO_INTERVAL: Final = "no interval"
ITEMS_ONLY: Final = "items only"
#: Ends of intervals beyond this have no decimals.
LARGE: Final = 100.0

#: Control characters that may stay in text shown to people.
_ALLOWED: Final = frozenset("\n\t")
_OVERRIDES: Final = frozenset(("RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"))


def number(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals; null becomes a word, -0 becomes 0, extremes become powers of ten."""
    if value is None:
        return UNDEFINED
    if abs(value) >= 10_000:
        return f"{value:.2e}"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def interval(bounds: Interval | None, digits: int = 3) -> str:
    """``[low, high]``, or an empty text where there is none."""
    if bounds is None:
        return ""
    return f"[{_end(bounds[0], digits)}, {_end(bounds[1], digits)}]"


def _end(value: float, digits: int) -> str:
    """An end of an interval: no decimals where it is large, as ``seeds.span`` has it."""
    return number(value, 0 if abs(value) >= LARGE else digits)


def second(value: Estimate, digits: int = 3) -> str:
    """The reading that does not lead: ``{low, high}`` in these seeds, beside the interval over seeds.

    ``items only`` where several seeds share one model, so that there is nothing to say of other seeds; empty where both
    readings are one and the same.
    """
    inner = value.interval_in_seeds
    if value.over == "items" and len(value.seeds) > 1:
        return ITEMS_ONLY
    if inner is None or inner == value.interval:
        return ""
    return f"{{{_end(inner[0], digits)}, {_end(inner[1], digits)}}}"


def p_value(value: float | None) -> str:
    """A p value; below a thousandth it only says so."""
    return "< 0.001" if value is not None and value < 0.001 else number(value)


def span(bounds: Sequence[float] | None, digits: int = 3) -> str:
    """``low to high`` for a column of its own, or an empty text where there is none."""
    return "" if bounds is None else f"{_end(bounds[0], digits)} to {_end(bounds[1], digits)}"


def estimate(value: Estimate | None, digits: int = 3) -> str:
    """``0.812 [0.790, 0.834] {0.800, 0.824}``, ``0.812 (one seed)``, ``undefined: no tax`` or ``not measured``."""
    if value is None:
        return NOT_MEASURED
    if value.estimate is None:
        return undefined(value)
    bounds = interval(value.interval, digits)
    shown = f"{number(value.estimate, digits)} {bounds or f'({reason(value.note) or NO_INTERVAL})'}"
    return f"{shown} {second(value, digits)}".rstrip()


def undefined(value: Estimate) -> str:
    """The word for a null, with its reason where one is given."""
    why = reason(value.note)
    return f"{UNDEFINED}: {why}" if why else UNDEFINED


def reason(note: str | None) -> str:
    """A note without the word that stands before it anyway: ``Undefined: no item flipped.`` → ``no item flipped``."""
    words = plain(note or "").strip()
    if words.lower().startswith(f"{UNDEFINED}:"):
        words = words[len(UNDEFINED) + 1 :].strip()
    return words.removesuffix(".")


def count(value: int) -> str:
    """An integer with thin groups of three, so that 12 345 678 can be read and does not break over two lines."""
    return f"{value:,}".replace(",", "\u202f")


def plain(text: str) -> str:
    """Text from data or models without control characters, which could drive a terminal or hide words on a page.

    Direction overrides (category Cf, bidi classes RLO, LRO, RLE, LRE, PDF and the isolates) go as well; letters that
    are themselves right-to-left stay.
    """
    if text.isprintable():  # nothing of the kind is
        return text
    return "".join("\ufffd" if _harmful(character) else character for character in text)


def _harmful(character: str) -> bool:
    control = unicodedata.category(character) in ("Cc", "Cs") and character not in _ALLOWED
    return control or unicodedata.bidirectional(character) in _OVERRIDES


def one_line(text: str, limit: int = 200) -> str:
    """Plain text on one line, cut with an ellipsis after ``limit`` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def computing(seconds: float, processor: float | None) -> str:
    """``3 min 5 s by the clock, 5 min 40 s of processor time``; the clock alone where no more is known."""
    more = "" if processor is None else f", {duration(processor)} of processor time"
    return f"{duration(seconds)} by the clock{more}"


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 5 s`` or ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def pairs(counts: Mapping[str, int]) -> str:
    """``dropped 3, truncated 4``; a dash-free word where nothing was counted."""
    return ", ".join(f"{plain(name)} {count(value)}" for name, value in counts.items()) or "none"
