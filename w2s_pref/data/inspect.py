"""A look at what a model really gets: decoded tokens of both answers, the scored position marked."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from w2s_pref.data.items import item_ids
from w2s_pref.data.tokens import Ids, Overlong, describe, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: Tokens shown at the start and at the end of a longer text.
HEAD, TAIL = 24, 40

_SIGNS = {"\n": "⏎", "\t": "⇥", " ": "·"}


@dataclass(frozen=True)
class TokenView:
    """One text as the model gets it.

    Attributes:
        tokens: every token decoded on its own.
        ids: their ids.
        scored: position (from 0) of the last real token, where a reward is read off.
    """

    tokens: list[str]
    ids: Ids
    scored: int


@dataclass(frozen=True)
class InspectedRow:
    """One pair: ``truth`` is 1 where ``a`` is the preferred answer."""

    id: str
    group: str
    form: str
    objective: str
    truth: int
    truncated: bool
    a: TokenView
    b: TokenView


@dataclass(frozen=True)
class Inspection:
    """The first rows of a split, and what truncation does to the whole of it."""

    rows: list[InspectedRow]
    counts: dict[str, int]
    max_length: int


def inspect_rows(
    frame: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    overlong: Overlong = "truncate",
    n: int = 3,
) -> Inspection:
    """Tokenise a split and decode its first ``n`` pairs that are kept.

    Raises:
        W2SError: as ``tokenize`` does.
    """
    done = tokenize(frame, tokenizer, max_length, overlong)
    pairs = {str(pair["id"]): pair for pair in frame.to_dict("records")}
    rows = []
    for row_id, a, b, cut in list(zip(done.ids, done.a_ids, done.b_ids, done.truncated, strict=True))[:n]:
        pair = pairs[row_id]
        views = [TokenView([str(tokenizer.decode([token])) for token in ids], ids, len(ids) - 1) for ids in (a, b)]
        about = (row_id, str(pair["group"]), str(pair["form"]), str(pair["objective"]))
        rows.append(InspectedRow(*about, int(pair["truth"]), cut, views[0], views[1]))
    return Inspection(rows, done.counts, max_length)


def safe(text: str) -> str:
    """A text with control characters, which could drive a terminal, spelled out."""
    return "".join(f"\\x{ord(sign):02x}" if unicodedata.category(sign)[0] == "C" else sign for sign in text)


def visible(token: str) -> str:
    """A token with its blanks shown."""
    return safe("".join(_SIGNS.get(sign, sign) for sign in token))


def render(inspection: Inspection) -> RenderableType:
    """The inspection for a rich console. Text from data is never read as markup."""
    return Group(*(_panel(row) for row in inspection.rows), Text(describe(inspection.counts, inspection.max_length)))


def show(
    frame: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    overlong: Overlong,
    rows: int,
    console: Console,
    title: str,
) -> None:
    """Print the first ``rows`` pairs of a split as the tokenizer sees them, and what truncation does to the split."""
    console.print(Text(safe(title), style="bold"))
    console.print(render(inspect_rows(frame, tokenizer, max_length, overlong, rows)))


def show_items(
    frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, max_length: int, rows: int, console: Console, title: str
) -> None:
    """Print the first ``rows`` items of a split as the tokenizer sees them, each with its label."""
    console.print(Text(safe(title), style="bold"))
    items = frame.head(rows).to_dict("records")
    for item, ids in zip(items, item_ids([item["prompt"] for item in items], tokenizer, max_length), strict=True):
        view = TokenView([str(tokenizer.decode([token])) for token in ids], ids, len(ids) - 1)
        body = Text(f"label {int(item['truth'])}, {len(ids)} tokens\n", style="bold", overflow="fold")
        body.append_text(_tokens(view))
        about = safe(f"group {item['group']}, {item['objective']}")
        console.print(Panel(body, title=Text(f"id {safe(item['id'])}"), subtitle=Text(about)))


def render_counts(splits: Mapping[str, pd.DataFrame], counts: Mapping[str, int]) -> RenderableType:
    """One line a split (rows, prompts, how often ``a`` is preferred), then what was read and dropped."""
    table = Table(title="splits")
    for title in ("split", "objective", "rows", "prompts", "a preferred"):
        table.add_column(title, justify="left" if title in ("split", "objective") else "right")
    for name, frame in splits.items():
        cells = [name, str(frame["objective"].iloc[0]), f"{len(frame):,}", f"{frame['group'].nunique():,}"]
        table.add_row(*(Text(cell) for cell in [*cells, f"{frame['truth'].mean():.0%}"]))
    notes = [f"{key} {value:,}" for key, value in counts.items() if not key.startswith("split.") or _is_loss(key)]
    return Group(table, Text(", ".join(notes)))


def _is_loss(key: str) -> bool:
    return key.endswith((".short", ".overlap_dropped"))


def _panel(row: InspectedRow) -> Panel:
    body = Text(overflow="fold")
    for name, view in (("a", row.a), ("b", row.b)):
        better = (row.truth == 1) == (name == "a")
        body.append(f"{name} ", style="bold")
        body.append("preferred" if better else "other", style="green" if better else "red")
        body.append(f", {len(view.ids)} tokens, scored at {view.scored} (id {view.ids[view.scored]})\n", style="dim")
        body.append_text(_tokens(view))
        body.append("\n" if name == "a" else "")
    facts = [f"group {row.group}", row.form, row.objective, *(["truncated"] if row.truncated else [])]
    return Panel(body, title=Text(f"id {safe(row.id)}"), subtitle=Text(safe(", ".join(facts))))


def _tokens(view: TokenView) -> Text:
    """Tokens with bars between them, long texts with their middle left out; the scored one reversed and bracketed."""
    text = Text()
    for at in _shown(len(view.tokens)):
        text.append("|" if at else "", style="dim")
        if at is None:
            text.append(f"|… {len(view.tokens) - HEAD - TAIL} more …", style="italic")
        elif at == view.scored:
            text.append(f"▶{visible(view.tokens[at])}◀", style="bold reverse")
        else:
            text.append(visible(view.tokens[at]), style="cyan")
    return text


def _shown(length: int) -> Sequence[int | None]:
    if length <= HEAD + TAIL:
        return range(length)
    return [*range(HEAD), None, *range(length - TAIL, length)]
