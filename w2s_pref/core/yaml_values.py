"""YAML text becomes values, here and nowhere else: JSON's values, however they are laid out, and nothing by guess.

A plain word is text unless it is a JSON number, ``true``, ``false`` or ``null`` (nothing at all is null, too): ``no``,
``2020-01-45``, ``010`` and ``1:30`` stay what they are. What other readers of YAML would take for a truth value or for
nothing (``True``, ``~``) is refused, as are numbers out of range, tags, merge keys, keys that are no text, and what
grows beyond the limits below.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NoReturn

import yaml

from w2s_pref.core.errors import shortened, shown

#: Limits: characters of a text, mappings and lists within each other, values with every alias written out, aliases,
#: characters of a key, and the size of a whole number.
CHARACTERS, DEPTH, VALUES, ALIASES, KEY, LARGEST = 200_000, 32, 20_000, 100, 100, 2**63 - 1

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS: Final = {"": None, "null": None, "true": True, "false": False}
#: Ends of lines in YAML 1.1, characters like any other in YAML 1.2 and JSON: they are these here.
_NO_ENDS: Final = "\x85\u2028\u2029"
#: Truth values or nothing in YAML 1.2, no words of JSON: refused, since whoever writes them may mean either.
_MEANT: Final = {word: mean for mean in ("true", "false", "null") for word in (mean.title(), mean.upper())} | {
    "~": "null"
}


class NotRead(Exception):
    """YAML that is not read. ``line`` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(f"line {line}: {reason}")


def values_of(text: str, comments: bool = True) -> Any:
    """The values of one YAML document: dictionaries with text as keys, lists, text, numbers, truth values, None.

    Args:
        comments: False where what follows a ``#`` would be lost by accident, as on a command line.

    Raises:
        NotRead: it is not YAML, or more of YAML than is read; with the line.
    """
    if len(text) > CHARACTERS:
        raise NotRead(1, f"the text has {len(text):,} characters, and at most {CHARACTERS:,} are read")
    stand_ins = _stand_ins(text)
    try:
        reader = _Reader(_parsed(text, stand_ins), back={new: old for old, new in stand_ins.items()})
        value = reader.document()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotRead(line, f"the character {chr(error.character)!a} cannot stand in a text file") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = shortened(" ".join(", ".join(filter(None, (error.context, error.problem))).split()))
        raise NotRead(mark.line + 1 if mark else 1, f"is not valid YAML: {reason}") from error
    except (ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF"
        raise NotRead(1, "an escape (\\U…) names no character") from error
    if not comments and text[reader.end :].strip().startswith("#"):
        raise NotRead(1, "what follows # would be read as a comment; quote the value")
    return value


class Written(NamedTuple):
    """A word among the values of a YAML text: the keys that lead to it, what it says, and where it begins and ends."""

    keys: tuple[str, ...]
    value: str
    start: int
    end: int


def words_of(text: str) -> list[Written]:
    """The values of one line, quoted or not, in a text that ``values_of`` reads. Keys are left out."""
    stand_ins = _stand_ins(text)
    events, back = _parsed(text, stand_ins), {new: old for old, new in stand_ins.items()}
    opened = (yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent, yaml.StreamEndEvent)
    found = [word for event in events if not isinstance(event, opened) for word in _words(event, (), events)]
    found = [word for word in found if "\n" not in text[word.start : word.end]]
    return [word._replace(value=word.value.translate(back)) for word in found]


def _words(event: Any, keys: tuple[str, ...], events: Iterator[Any]) -> Iterator[Written]:
    if isinstance(event, yaml.ScalarEvent) and event.anchor is None:
        start, end = event.start_mark, event.end_mark
        assert start is not None
        assert end is not None
        yield Written(keys, event.value, start.index, end.index)
    elif isinstance(event, yaml.SequenceStartEvent):
        while not isinstance(each := next(events), yaml.SequenceEndEvent):
            yield from _words(each, keys, events)
    elif isinstance(event, yaml.MappingStartEvent):
        while not isinstance(key := next(events), yaml.MappingEndEvent):
            yield from _words(next(events), (*keys, key.value), events)


def _parsed(text: str, stand_ins: Mapping[int, int]) -> Iterator[Any]:
    return iter(yaml.parse(text.translate(stand_ins), Loader=yaml.SafeLoader))


def _stand_ins(text: str) -> dict[int, int]:
    """For each of ``_NO_ENDS`` in the text a character of private use that is not in it, as itself or as an escape."""
    there, lower = [sign for sign in _NO_ENDS if sign in text], text.lower()
    free = (code for code in range(0xF0000, 0xFFFFE) if chr(code) not in text and not _escaped(code, lower))
    return {ord(sign): next(free) for sign in there}


def _escaped(code: int, lower: str) -> bool:
    low = chr(code).encode("utf-16-be")[2:].hex()
    return f"{code:x}" in lower or low in lower


def plain(text: str) -> str | int | float | bool | None:
    """What an unquoted word means.

    Raises:
        ValueError: a number that cannot be held, or a word that other readers take for a truth value or for nothing.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text in _MEANT:
        raise ValueError(f'{text} may mean {_MEANT[text]} or the text: write {_MEANT[text]}, or "{text}"')
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if match[2] is None and match[3] is None:
        if len(text) > 20 or abs(int(text)) > LARGEST:
            raise ValueError(f"a whole number of {len(text):,} digits is too large; quote it if it is text")
        return int(text)
    if abs(value := float(text)) == float("inf"):
        raise ValueError(f"{shortened(text)} is too large for a number")
    return value


def checked_key(key: Any) -> str:
    """A key of a mapping.

    Raises:
        ValueError: it is no text, or too long: names of models, arms and methods become names of files.
    """
    if not isinstance(key, str):
        raise ValueError(f"a key should be text, but this is {json.dumps(key)}; quote it")
    if len(key) > KEY:
        raise ValueError(f"a key has {len(key):,} characters, and at most {KEY} are read: {shown(key)}")
    return _paired(key)


def dumped(value: Any, width: int = 1000) -> str:
    """YAML that ``values_of`` reads back as the same values."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)


class _Dumper(yaml.SafeDumper):
    """Quotes what would be read as another value than text, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    try:
        quoted = not isinstance(plain(text), str)
    except ValueError:
        quoted = True
    style = '"' if any(sign in text for sign in _NO_ENDS) else "'" if quoted else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


@dataclass
class _Reader:
    """Goes through the parser's events once.

    ``known``: anchor → (value, how many values it holds); ``back``: stand-in → the character that it stands for.
    """

    events: Iterator[Any]
    back: dict[int, int] = field(default_factory=dict)
    known: dict[str, tuple[Any, int]] = field(default_factory=dict)
    values: int = 0
    aliases: int = 0
    line: int = 1
    end: int = 0

    def document(self) -> Any:
        self._next()  # start of the stream
        start = self._next()
        if isinstance(start, yaml.StreamEndEvent):
            return None
        if start.version or start.tags:
            self._refuse("directives (%YAML, %TAG) are not read; take them out")
        value = self._value(self._next(), 0)
        self._next()  # end of the document
        if not isinstance(self._next(), yaml.StreamEndEvent):
            self._refuse("a second document begins here; one is read")
        return value

    def _next(self) -> Any:
        event: Any = next(self.events)
        self.line = event.start_mark.line + 1
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent) and event.end_mark is not None:
            self.end = event.end_mark.index
        return event

    def _refuse(self, reason: str) -> NoReturn:
        raise NotRead(self.line, reason)

    def _value(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor))
        self._count(1)
        if event.tag is not None:
            tag = shortened(event.tag.replace("tag:yaml.org,2002:", "!!"))
            self._refuse(f"the tag {tag} is not read; take it out, and quote what is text")
        if event.anchor in self.known:
            self._refuse(f"the anchor &{shortened(event.anchor)} stands twice")
        before = self.values - 1
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif depth == DEPTH:
            self._refuse(f"mappings and lists stand more than {DEPTH} deep within each other")
        else:
            value = self._list(depth) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(depth)
        if event.anchor is not None:
            self.known[event.anchor] = value, self.values - before
        return value

    def _alias(self, anchor: str) -> Any:
        self.aliases += 1
        if anchor not in self.known:
            self._refuse(f"*{shortened(anchor)} refers to an anchor that does not stand before it")
        if self.aliases > ALIASES:
            self._refuse(f"there are more than {ALIASES} aliases")
        value, size = self.known[anchor]
        self._count(size)
        return value

    def _count(self, more: int) -> None:
        self.values += more
        if self.values > VALUES:
            self._refuse(f"there are more than {VALUES:,} values, aliases written out")

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        try:
            text = event.value.translate(self.back)
            return plain(text) if event.style is None else _paired(text)
        except ValueError as error:
            self._refuse(str(error))

    def _list(self, depth: int) -> list[Any]:
        found = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            found.append(self._value(event, depth + 1))
        return found

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event)
            if key in found:
                self._refuse(f"key {shortened(key)!r} stands twice")
            found[key] = self._value(self._next(), depth + 1)
        return found

    def _key(self, event: Any) -> str:
        if isinstance(event, yaml.CollectionStartEvent):
            self._refuse("a key should be text, but this is a list or a mapping")
        key = self._value(event, DEPTH)
        if key == "<<" and isinstance(event, yaml.ScalarEvent) and event.style is None:
            self._refuse("the merge key << is not read; write the keys out, or put them into a file for extends:")
        try:
            return checked_key(key)
        except ValueError as error:
            self._refuse(str(error))


def _paired(text: str) -> str:
    """Text with JSON's pairs of escapes (``\\ud83d\\ude00``) as the one character that each means."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ValueError(
            "the text holds half of a pair of surrogates (\\ud800 … \\udfff), which is no character"
        ) from None
