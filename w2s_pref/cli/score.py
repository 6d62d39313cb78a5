"""``w2s score``: pairs and a saved reward model → a score table."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.strict import read_section
from w2s_pref.core.tables import orient
from w2s_pref.data.control import text_stays_text


@text_stays_text()
def score_to_table(
    model: str,
    pairs: str,
    out: Path,
    name: str | None,
    seed: int,
    objective: str,
    columns: dict[str, str | None],
    max_length: int,
    append: bool,
) -> pd.DataFrame:
    """Score pairs with a saved model and write the score table; returns the new rows.

    Raises:
        W2SError: bad model, bad pairs, unknown file ending, or rows that are in the table already.
    """
    from w2s_pref.data.sources import Source, load
    from w2s_pref.models.load import load_saved
    from w2s_pref.models.scoring import score_pairs
    from w2s_pref.training.fit import quiet

    if out.suffix not in {".csv", ".jsonl", ".parquet"}:
        raise W2SError(f"--out {out}: the ending says the format; use .csv, .jsonl or .parquet")
    if out.is_dir() or not out.parent.is_dir():
        raise W2SError(f"--out {out}: names no file in a folder that is there; make the folder, or give another name")
    if out.exists() and not append:
        raise W2SError(f"--out {out}: is there already; give another name, or --append")
    _check_model(model)
    source = read_section(Source, {"source": pairs, "objective": objective, "columns": columns}, "w2s score")
    frame = load(source, Path.cwd()).frame
    quiet()
    reward_model, tokenizer = load_saved(model)
    raw = score_pairs(reward_model, tokenizer, frame, max_length=max_length)
    label = name or _label(Path(model))
    table = orient(raw, frame).assign(
        model=label, seed=seed, tau=1.0, objective=frame["objective"].iloc[0], kind="reward_model"
    )
    _write(_joined(table, out), out)
    return table


def _check_model(model: str) -> None:
    """Refuse what is no saved reward model before pairs are read and anything heavy is imported."""
    folder = Path(model)
    if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        what = "a folder without config.json" if folder.is_dir() else "no folder here"
        raise W2SError(
            f"model {model!r}: {what}; give the folder of a saved reward model, e.g. runs/NAME/students/STUDENT/model"
        )


def _label(folder: Path) -> str:
    """A name for a model folder: its own, or the student's where it is a run's ``students/STUDENT/model``."""
    return folder.parent.name if folder.name == "model" and folder.parent.name else folder.resolve().name


def _joined(table: pd.DataFrame, out: Path) -> pd.DataFrame:
    if not out.exists():
        return table
    from w2s_pref.analysis.scores.table import read_scores

    old = read_scores(out)
    keys = ["id", "model", "seed", "objective"]
    if not old.merge(table, on=keys).empty:
        name = table["model"].iloc[0]
        raise W2SError(f"--out {out}: already has scores of {name!r} with this seed; use --name or --seed")
    return pd.concat([old, table], ignore_index=True)


def _write(table: pd.DataFrame, out: Path) -> None:
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        if out.suffix == ".csv":
            table.to_csv(temporary, index=False)
        elif out.suffix == ".jsonl":
            table.to_json(temporary, orient="records", lines=True)
        else:
            table.to_parquet(temporary, index=False)
        temporary.replace(out)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise W2SError(f"--out {out}: cannot be written ({reason}); give another place") from error
    finally:
        temporary.unlink(missing_ok=True)
