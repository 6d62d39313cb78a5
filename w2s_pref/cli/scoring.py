"""What ``w2s score`` writes and prints: the score table, accuracy by subset, scores of benchmarks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd
from pyarrow import ArrowException

from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import replacing
from w2s_pref.interface.scoring import TEXTS, Scoring, scored

if TYPE_CHECKING:
    from rich.table import Table

    from w2s_pref.analysis.scores.benchmarks import Board


def score_to_table(
    scoring: Scoring, out: Path, append: bool = False, by: str | None = None
) -> tuple[pd.DataFrame, Board | None]:
    """Score pairs with a saved model and write the score table, which holds no texts.

    Returns:
        See ``scored``.

    Raises:
        W2SError: bad model, bad pairs, no column ``by``, unknown file ending, or rows that are in the table already.
    """
    _check_out(out, append)
    table, board = scored(scoring, by)
    table = table.drop(columns=list(TEXTS))
    _write(_joined(table, out), out)
    return table, board


def board_table(board: Board) -> Table:
    """Lines of accuracies for the terminal."""
    from rich.table import Table
    from rich.text import Text

    from w2s_pref.report.draw.format import interval, number, reason

    table = Table("", "rows", "accuracy", "95 % interval", title=board.title, box=None, title_justify="left")
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    indent = {"score": "", "section": "", "subset": "  ", "ties": "    "}
    for line in board.lines:
        found = line.accuracy
        value = "undefined" if found.estimate is None else number(found.estimate, 3)
        bounds = interval(found.interval, 3) or reason(found.note)
        rows = f"{line.rows:,}" if line.rows else ""
        style = "bold" if line.part in {"score", "section"} else ""
        table.add_row(Text(indent[line.part] + line.name), rows, value, bounds, style=style)
    return table


def _check_out(out: Path, append: bool) -> None:
    if out.suffix not in {".csv", ".jsonl", ".parquet"}:
        raise W2SError(f"--out {out}: the ending says the format; use .csv, .jsonl or .parquet")
    if out.is_dir() or not out.parent.is_dir():
        raise W2SError(f"--out {out}: names no file in a folder that is there; make the folder, or give another name")
    if out.exists() and not append:
        raise W2SError(f"--out {out}: is there already; give another name, or --append")


def _joined(table: pd.DataFrame, out: Path) -> pd.DataFrame:
    """The table that is there, columns of its own kept, and below it the new rows."""
    if not out.exists():
        return table
    from w2s_pref.analysis.scores.table import load_frame, validate_scores

    there = load_frame(out)
    old = validate_scores(there, str(out))
    keys = ["id", "model", "seed", "objective"]
    if not old.merge(table, on=keys).empty:
        name = table["model"].iloc[0]
        raise W2SError(f"--out {out}: already has scores of {name!r} with this seed; use --name or --seed")
    more = there[[name for name in there.columns if name not in (*old.columns, "p")]]
    joined = pd.concat([pd.concat([old, more], axis=1), table], ignore_index=True)
    validate_scores(joined, f"--out {out} with the new rows")
    return joined


def _write(table: pd.DataFrame, out: Path) -> None:
    try:
        with replacing(out) as temporary:
            if out.suffix == ".csv":
                table.to_csv(temporary, index=False, quoting=_quoting(table))
            elif out.suffix == ".jsonl":
                _write_jsonl(table, temporary)
            else:
                table.to_parquet(temporary, index=False, write_page_checksum=True)
    except (
        OSError,
        ArrowException,
    ) as error:  # Arrow: a column that is text in one of two tables, numbers in the other
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise W2SError(f"--out {out}: cannot be written ({reason}); give another place") from error


def _quoting(table: pd.DataFrame) -> Literal[0, 2]:
    """Texts in quotes where one holds a carriage return: pandas leaves that bare, and readers end a row there."""
    texts = table.select_dtypes(exclude=["number", "bool"])
    bare = any("\r" in str(cell) for name in texts for cell in texts[name].tolist())
    return csv.QUOTE_NONNUMERIC if bare else csv.QUOTE_MINIMAL


def _write_jsonl(table: pd.DataFrame, file: Path) -> None:
    """Every number as it is: pandas rounds to ten digits behind the point, which makes ties."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    text = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
    file.write_text(text, encoding="utf-8")
