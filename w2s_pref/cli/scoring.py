"""Pairs and a saved reward model → a score table, accuracy by subset, scores of benchmarks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import replacing
from w2s_pref.core.strict import read_section
from w2s_pref.core.tables import truth_first
from w2s_pref.data.columns import own_columns
from w2s_pref.data.control import text_stays_text
from w2s_pref.interface.score import saved_model

if TYPE_CHECKING:
    from rich.table import Table

    from w2s_pref.analysis.scores.benchmarks import Board
    from w2s_pref.data.benchmarks import BenchmarkName
    from w2s_pref.data.sources import Loaded

#: Longest text in tokens: by default, and of the benchmarks (which their own code takes).
LONGEST: Final = 512
LONGEST_OF_BENCHMARK: Final = 2048
#: Columns of the score table; a column of the pairs with such a name is written as pairs.NAME.
OURS: Final = ("score_chosen", "score_rejected", "delta", "model", "seed", "tau", "kind")


@dataclass(frozen=True)
class Scoring:
    """What is scored by what, and what the score table says of it.

    Attributes:
        model: folder of a saved reward model.
        pairs: file, folder, hub id, function or registered name.
        name: of the model in the table; default the folder's.
        columns: our name -> theirs.
        max_length: in tokens; default 512, for a benchmark 2,048.
        split: of a hub data set or of saved splits.
        benchmark: the pairs are rows of this benchmark.
    """

    model: str
    pairs: str
    name: str | None = None
    seed: int = 0
    objective: str = "target"
    columns: dict[str, str | None] = field(default_factory=dict)
    max_length: int | None = None
    split: str | None = None
    benchmark: BenchmarkName | None = None


def score_to_table(
    scoring: Scoring, out: Path, append: bool = False, by: str | None = None
) -> tuple[pd.DataFrame, Board | None]:
    """Score pairs with a saved model and write the score table.

    Returns:
        The new rows: ``id, group, score_chosen, score_rejected, delta, model, seed, tau, objective, kind`` and the
        pairs' own columns; and accuracy by the column ``by``, or the score of the benchmark.

    Raises:
        W2SError: bad model, bad pairs, no column ``by``, unknown file ending, or rows that are in the table already.
    """
    from w2s_pref.analysis.scores.benchmarks import RULES, accuracy_by

    _check_out(out, append)
    table = scored(scoring, by)
    found = None
    if by is not None:
        found = accuracy_by(table, by)
    elif (name := benchmark_of(scoring)) is not None:
        found = RULES[name](table)
    _write(_joined(table, out), out)
    return table, found


@text_stays_text()
def scored(scoring: Scoring, by: str | None = None) -> pd.DataFrame:
    """The rows of the score table (see ``score_to_table``); nothing is written."""
    from w2s_pref.models.load import load_saved
    from w2s_pref.models.scoring import score_pairs
    from w2s_pref.training.fit import quiet

    saved_model(scoring.model)  # before pairs are read and anything heavy is imported
    pairs = load_pairs(scoring).frame
    own = own_columns(pairs, OURS)
    if by is not None and by not in own:
        raise W2SError(f"--by {by}: the pairs have no such column; they have {', '.join(own.columns) or 'none'}")
    quiet()
    model, tokenizer = load_saved(scoring.model)
    longest = scoring.max_length or (LONGEST if benchmark_of(scoring) is None else LONGEST_OF_BENCHMARK)
    raw = score_pairs(model, tokenizer, pairs, max_length=longest)
    table = truth_first(raw, pairs).assign(
        model=scoring.name or Path(scoring.model).resolve().name,
        seed=scoring.seed,
        tau=1.0,
        objective=pairs["objective"].iloc[0],
        kind="reward_model",
    )
    return table.merge(own.assign(id=pairs["id"]), on="id", how="left", validate="one_to_one")


def load_pairs(scoring: Scoring) -> Loaded:
    """The pairs, those of a benchmark from the hub unless a file is given."""
    from w2s_pref.data.benchmarks import BENCHMARKS
    from w2s_pref.data.sources import Source, load

    wanted: dict[str, Any] = {"source": scoring.pairs, "objective": scoring.objective, "columns": scoring.columns}
    name = benchmark_of(scoring)
    if name is None:
        wanted["split"] = scoring.split
    else:
        if scoring.columns:
            raise W2SError(f"--column: rows of {name} have the columns of {BENCHMARKS[name].hub}; leave it out")
        options = {} if scoring.pairs in (name, BENCHMARKS[name].hub) else {"path": scoring.pairs}
        wanted |= {"source": name, "options": options | ({"split": scoring.split} if scoring.split else {})}
        wanted["on_bad_row"] = "drop"  # its file cannot be mended by who scores it; the count is said
    return load(read_section(Source, wanted, "w2s score"), Path.cwd())


def benchmark_of(scoring: Scoring) -> BenchmarkName | None:
    """The benchmark that is asked for, or that the pairs are by their name."""
    from w2s_pref.data.benchmarks import BENCHMARKS

    return scoring.benchmark or next(
        (name for name, found in BENCHMARKS.items() if scoring.pairs in (name, found.hub)), None
    )


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


def board_json(board: Board) -> dict[str, Any]:
    """The same for programs: ``title, lines: [{part, name, rows, accuracy}], notes``."""
    lines = [{**asdict(line), "accuracy": line.accuracy.model_dump(mode="json")} for line in board.lines]
    return {"title": board.title, "lines": lines, "notes": board.notes}


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
    return pd.concat([pd.concat([old, more], axis=1), table], ignore_index=True)


def _write(table: pd.DataFrame, out: Path) -> None:
    try:
        with replacing(out) as temporary:
            if out.suffix == ".csv":
                table.to_csv(temporary, index=False)
            elif out.suffix == ".jsonl":
                table.to_json(temporary, orient="records", lines=True)
            else:
                table.to_parquet(temporary, index=False, write_page_checksum=True)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise W2SError(f"--out {out}: cannot be written ({reason}); give another place") from error
