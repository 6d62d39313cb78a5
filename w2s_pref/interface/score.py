"""Score any pairs with any reward model, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.paths import local_path
from w2s_pref.core.registry import did_you_mean
from w2s_pref.core.strict import read_section
from w2s_pref.core.tables import PAIR_COLUMNS, truth_first
from w2s_pref.data.columns import own_columns
from w2s_pref.data.control import text_stays_text
from w2s_pref.data.files import as_table
from w2s_pref.data.readers import Part
from w2s_pref.data.sources import Source, load

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: The folder of a saved reward model, or what ``Run.student`` returns.
Model = str | Path | tuple["PreTrainedModel", "PreTrainedTokenizerBase"]
#: Preference pairs in any form that a file may hold, or where they are: file, folder, hub id, registered name.
Pairs = pd.DataFrame | Sequence[Mapping[str, Any]] | str | Path
#: What a scored table says of the model, beside its scores.
SCORED = ("model", "seed", "tau", "objective", "kind")


@text_stays_text()
def score(
    model: Model,
    pairs: Pairs,
    by: str | None = None,
    *,
    name: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    max_length: int = 512,
    seed: int = 0,
    objective: str = "target",
) -> pd.DataFrame:
    """Score pairs with a reward model.

    Args:
        model: folder of a saved reward model (as in ``students/`` of a run), or a model and its tokenizer.
        pairs: prompt, chosen, rejected in any form that ``docs/data.md`` shows, as a table or by its place.
        by: a column of the pairs; then the result is the accuracy in each of its groups.
        name: of the model in the table; by default the folder's name.
        columns: our name → yours, such as ``{"chosen": "better"}``.
        max_length: longest text in tokens; prompts are cut from the left.
        seed, objective: written into the table.

    Returns:
        A row for every pair: a score table (``id, group, model, seed, delta, tau, objective, kind``) with
        ``score_chosen, score_rejected``, the texts, and every other column of the pairs. With ``by``, a row for every
        group and one for ``all``: ``pairs``, and ``accuracy`` (a tie counts one half).

    Raises:
        W2SError: no such model, bad pairs, or no column ``by``.
    """
    frame = _pairs(pairs, columns, objective)
    if by is not None and by not in frame:
        own = [str(each) for each in frame.columns if each not in PAIR_COLUMNS]
        near = did_you_mean(by, own) or ";"
        raise W2SError(f"by={by!r}: the pairs have no such column{near} theirs are {', '.join(own) or 'none'}")
    loaded, label = _model(model)
    table = _scored(loaded, frame, max_length)
    facts: dict[str, Any] = dict(zip(SCORED, (name or label, seed, 1.0, objective, "reward_model"), strict=True))
    found = table.assign(**facts)
    return found if by is None else accuracy_by(found, by if f"pairs.{by}" not in found else f"pairs.{by}")


def accuracy_by(scored: pd.DataFrame, by: str) -> pd.DataFrame:
    """Accuracy in every group of a column, then over ``all``."""
    right = ((scored["delta"] > 0) + (scored["delta"] == 0) / 2).groupby(scored[by], dropna=False)
    groups = pd.DataFrame({"pairs": right.size(), "accuracy": right.mean()})
    total = {"pairs": len(scored), "accuracy": float((groups["pairs"] * groups["accuracy"]).sum() / len(scored))}
    return pd.concat([groups, pd.DataFrame(total, index=["all"])]).rename_axis(by)


def _scored(model: tuple[Any, Any], frame: pd.DataFrame, max_length: int) -> pd.DataFrame:
    """Ids, scores and texts of every pair, then the columns of its own."""
    from w2s_pref.models.scoring import score_pairs
    from w2s_pref.training.fit import quiet

    quiet()
    first = frame["truth"] == 1
    texts = {"chosen": frame["a"].where(first, frame["b"]), "rejected": frame["b"].where(first, frame["a"])}
    table = truth_first(score_pairs(*model, frame, max_length=max_length), frame)
    own = own_columns(frame, {*table.columns, *SCORED})
    return table.merge(frame[["id", "prompt"]].assign(**texts).join(own), on="id", validate="one_to_one")


def _pairs(pairs: Pairs, columns: Mapping[str, str | None] | None, objective: str) -> pd.DataFrame:
    """The pairs in neutral order."""
    where = str(pairs) if isinstance(pairs, str | Path) else "the table"
    given = {"source": where, "objective": objective, "columns": dict(columns or {})}
    source = read_section(Source, given, "pairs")
    if isinstance(pairs, str | Path):
        return load(source, Path.cwd()).frame
    table = pairs if isinstance(pairs, pd.DataFrame) else [dict(row) for row in pairs]
    return load(source, parts=[Part("pairs", as_table(table, "pairs"))]).frame


def _model(model: Model) -> tuple[tuple[Any, Any], str]:
    """Model and tokenizer, and what to call them."""
    if isinstance(model, tuple):
        return model, "model"
    from w2s_pref.models.load import load_saved

    folder = saved_model(model)
    return load_saved(folder), folder.resolve().name


def saved_model(model: str | Path) -> Path:
    """The folder of a saved reward model.

    Raises:
        W2SError: it is none.
    """
    folder = local_path(model, "model")
    if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        what = "a folder without config.json" if folder.is_dir() else "no folder here"
        raise W2SError(
            f"model {str(model)!r}: {what}; give the folder of a saved reward model, e.g. runs/NAME/students/STUDENT"
        )
    return folder
