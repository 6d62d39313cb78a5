"""A look at what a model really gets: decoded tokens of both answers, the scored position marked."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from w2s_pref.data.tokens import Ids, Overlong, describe, item_ids, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: Tokens shown at the start and at the end of a longer text.
HEAD, TAIL = 24, 40

_SIGNS = {"\n": "⏎", "\t": "⇥", " ": "·"}


def safe(text: str) -> str:
    """A text with control characters, which could drive a terminal, spelled out."""
    return "".join(f"\\x{ord(sign):02x}" if unicodedata.category(sign)[0] == "C" else sign for sign in text)


def visible(token: str) -> str:
    """A token with its blanks shown."""
    return safe("".join(_SIGNS.get(sign, sign) for sign in token))


def show(
    frame: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    overlong: Overlong,
    rows: int,
    console: Console,
    title: str,
) -> None:
    """Print the first ``rows`` pairs of a split as the tokenizer sees them, and what truncation does to the split.

    Raises:
        W2SError: as ``tokenize`` does.
    """
    done = tokenize(frame, tokenizer, max_length, overlong)
    console.print(Text(safe(title), style="bold"))
    pairs = {str(pair["id"]): pair for pair in frame.to_dict("records")}
    for row_id, a, b, cut in list(zip(done.ids, done.a_ids, done.b_ids, done.truncated, strict=True))[:rows]:
        pair, body = pairs[row_id], Text(overflow="fold")
        for name, ids in (("a", a), ("b", b)):
            better = (pair["truth"] == 1) == (name == "a")
            body.append(f"{name} ", style="bold")
            body.append("preferred" if better else "other", style="green" if better else "red")
            body.append(f", {len(ids)} tokens, scored at {len(ids) - 1} (id {ids[-1]})\n", style="dim")
            body.append_text(_tokens(ids, tokenizer))
            body.append("\n" if name == "a" else "")
        facts = [f"group {pair['group']}", str(pair["form"]), str(pair["objective"]), *(["truncated"] if cut else [])]
        console.print(_panel(body, row_id, facts))
    console.print(Text(describe(done.counts, max_length)))


def show_items(
    frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, max_length: int, rows: int, console: Console, title: str
) -> None:
    """Print the first ``rows`` items of a split as the tokenizer sees them, each with its label."""
    console.print(Text(safe(title), style="bold"))
    items = frame.head(rows).to_dict("records")
    for item, ids in zip(items, item_ids([item["prompt"] for item in items], tokenizer, max_length), strict=True):
        body = Text(f"label {int(item['truth'])}, {len(ids)} tokens\n", style="bold", overflow="fold")
        body.append_text(_tokens(ids, tokenizer))
        console.print(_panel(body, item["id"], [f"group {item['group']}", item["objective"]]))


def render_counts(splits: Mapping[str, pd.DataFrame], counts: Mapping[str, int]) -> RenderableType:
    """One line a split (rows, prompts, how often ``a`` is preferred), then what was read and dropped."""
    table = Table(title="splits")
    for title in ("split", "objective", "rows", "prompts", "a preferred"):
        table.add_column(title, justify="left" if title in ("split", "objective") else "right")
    for name, frame in splits.items():
        cells = [name, str(frame["objective"].iloc[0]), f"{len(frame):,}", f"{frame['group'].nunique():,}"]
        table.add_row(*(Text(cell) for cell in [*cells, f"{frame['truth'].mean():.0%}"]))
    losses = (".short", ".overlap_dropped")
    notes = [f"{key} {n:,}" for key, n in counts.items() if not key.startswith("split.") or key.endswith(losses)]
    return Group(table, Text(", ".join(notes)))


def _panel(body: Text, row_id: str, facts: Sequence[str]) -> Panel:
    return Panel(body, title=Text(f"id {safe(row_id)}"), subtitle=Text(safe(", ".join(facts))))


def _tokens(ids: Ids, tokenizer: PreTrainedTokenizerBase) -> Text:
    """Tokens with bars between them, long texts without their middle; the last, where a reward is read, marked."""
    text, last = Text(), len(ids) - 1
    whole = last < HEAD + TAIL
    shown = range(len(ids)) if whole else [*range(HEAD), None, *range(len(ids) - TAIL, len(ids))]
    for at in shown:
        text.append("|" if at else "", style="dim")
        if at is None:
            text.append(f"|… {len(ids) - HEAD - TAIL} more …", style="italic")
            continue
        token = visible(str(tokenizer.decode([ids[at]])))
        text.append(f"▶{token}◀" if at == last else token, style="bold reverse" if at == last else "cyan")
    return text
