"""Pairs and a reward model → a score table, accuracy by subset, scores of benchmarks: what both interfaces do."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.paths import local_path
from w2s_pref.core.references import did_you_mean
from w2s_pref.core.strict import read_section
from w2s_pref.core.tables import PAIR_COLUMNS, truth_first
from w2s_pref.data.columns import own_columns
from w2s_pref.data.control import text_stays_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from w2s_pref.analysis.scores.benchmarks import Board
    from w2s_pref.data.benchmarks import BenchmarkName
    from w2s_pref.data.sources import Loaded, Source

log = logging.getLogger(__name__)

#: The folder of a saved reward model, or what ``Run.student`` returns.
Model = str | Path | tuple["PreTrainedModel", "PreTrainedTokenizerBase"]
#: Preference pairs in any form that a file may hold, or where they are: file, folder, hub id, registered name.
Pairs = pd.DataFrame | Sequence[Mapping[str, Any]] | str | Path
#: Longest text in tokens: of models that do not say theirs, and of the benchmarks (which their own code takes).
LONGEST: Final = 512
SHORTEST: Final = 2
UNKNOWN_TOKENS: Final = ("error", "warn")
LONGEST_OF_BENCHMARK: Final = 2048
#: Columns of the score table; a column of the pairs with such a name is written as pairs.NAME.
OURS: Final = ("score_chosen", "score_rejected", "delta", "model", "seed", "tau", "kind")
TEXTS: Final = ("prompt", "chosen", "rejected")
_GO_ON: Final = "score them nevertheless: --unknown-tokens warn, in Python unknown_tokens='warn'"


@dataclass(frozen=True)
class Scoring:
    """What is scored by what, and what the score table says of it.

    Attributes:
        model: a saved reward model, or a model and its tokenizer.
        pairs: preference pairs, or rows of a benchmark.
        name: of the model in the table; default the folder's.
        columns: our name -> theirs.
        max_length: in tokens; default that of a student's recipe, else 512; for a benchmark 2,048.
        split: of a hub data set or of saved splits.
        benchmark: the pairs are rows of this benchmark.
        unknown_tokens: more than 20 % of the tokens are unknown to the model: error, or go on.
    """

    model: Model
    pairs: Pairs
    name: str | None = None
    seed: int = 0
    objective: str = "target"
    columns: Mapping[str, str | None] = field(default_factory=dict)
    max_length: int | None = None
    split: str | None = None
    benchmark: BenchmarkName | None = None
    unknown_tokens: Literal["error", "warn"] = "error"


@text_stays_text()
def scored(scoring: Scoring, by: str | None = None) -> tuple[pd.DataFrame, Board | None]:
    """Score pairs.

    Returns:
        A row for every pair: ``id, group, score_chosen, score_rejected, delta, model, seed, tau, objective, kind``,
        ``prompt, chosen, rejected`` (of conversations as JSON), and the pairs' own columns; and accuracy by the column
        ``by``, or the score of the benchmark.

    Raises:
        W2SError: bad model, bad pairs, pairs that the model cannot read, no column ``by``, ``by`` beside a benchmark.
    """
    from w2s_pref.analysis.scores.benchmarks import RULES, accuracy_by
    from w2s_pref.training.environment import quiet

    _check_options(scoring)
    if not isinstance(scoring.model, tuple):
        saved_model(scoring.model)  # before pairs are read and anything heavy is imported
    benchmark = benchmark_of(scoring)
    if benchmark is not None and by is not None:
        raise W2SError(
            f"by {by!r}: {benchmark} is scored by its own subsets; leave by (--by) out, or score its rows as a file of "
            "pairs without naming the benchmark"
        )
    loaded = load_pairs(scoring)
    for note in loaded.notes:
        log.warning(note)
    pairs = loaded.frame
    own = own_columns(pairs, OURS)
    column = _asked(by, [str(each) for each in pairs.columns if each not in PAIR_COLUMNS])
    _check_readable(scoring, pairs)
    quiet()
    (model, tokenizer), label = _opened(scoring.model)
    usual = _own_limit(tokenizer) if benchmark is None else LONGEST_OF_BENCHMARK
    raw = _raw(model, tokenizer, pairs, scoring.max_length or usual)
    table = truth_first(raw, pairs).assign(
        model=scoring.name or label, seed=scoring.seed, tau=1.0, objective=scoring.objective, kind="reward_model"
    )
    table = table.merge(_texts(pairs).join(own), on="id", how="left", validate="one_to_one")
    if column is not None:
        return table, accuracy_by(table, column)
    return table, None if benchmark is None else RULES[benchmark](table)


def _raw(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: pd.DataFrame, longest: int) -> pd.DataFrame:
    """Raw scores; what is cut, and what no model can rank, is said."""
    from w2s_pref.data.tokens import describe, tokenize
    from w2s_pref.models.batches.wrapped import untouched
    from w2s_pref.models.scoring import score_tokens

    tokens = tokenize(pairs, tokenizer, max_length=longest)
    if any(tokens.counts[what] for what in ("prompt_truncated", "answer_cut", "indistinguishable")):
        log.warning(describe(tokens.counts, longest))
    with untouched(model):  # it may be in the middle of a training
        return score_tokens(model, tokenizer, tokens)


def _check_options(scoring: Scoring) -> None:
    """Refuse what the command line would: a typing error in Python is a wrong score table, or another reading.

    Raises:
        W2SError: an option that is none.
    """
    longest, seed, model = scoring.max_length, scoring.seed, scoring.model
    if not (_is_opened(model) if isinstance(model, tuple) else isinstance(model, str | Path)):
        kinds = ", ".join(type(each).__name__ for each in model) if isinstance(model, tuple) else type(model).__name__
        raise W2SError(
            "model: give the folder of a saved reward model, or (model, tokenizer), as run.student returns them; this "
            f"is of type {kinds}"
        )
    if longest is not None and (not _whole(longest) or longest < SHORTEST):
        raise W2SError(
            f"max_length={longest!r}: give a number of tokens, {SHORTEST} or more, or None for the usual one"
        )
    if not _whole(seed):
        raise W2SError(f"seed={seed!r}: give a whole number; it is written into the table")
    if scoring.unknown_tokens not in UNKNOWN_TOKENS:
        raise W2SError(f"unknown_tokens={scoring.unknown_tokens!r}: give {' or '.join(map(repr, UNKNOWN_TOKENS))}")
    if not isinstance(scoring.columns, Mapping):
        kind = type(scoring.columns).__name__
        raise W2SError(f"columns: give a dictionary, our name: yours, such as {{'chosen': 'better'}}; this is a {kind}")
    if scoring.split is not None and not isinstance(scoring.pairs, str | Path):
        raise W2SError(
            f"split={scoring.split!r} is for hub data sets and saved splits, and these pairs are a table; leave it "
            "out, and give the rows of one split"
        )


def _is_opened(model: tuple[Any, ...]) -> bool:
    return len(model) == 2 and hasattr(model[0], "config") and hasattr(model[1], "model_max_length")


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _own_limit(tokenizer: PreTrainedTokenizerBase) -> int:
    """The longest text that a student of a run was trained and judged on; of any other model the usual one."""
    from w2s_pref.models.standalone import FACTS

    student = (Path(tokenizer.name_or_path) / FACTS).is_file()
    return int(tokenizer.model_max_length) if student else LONGEST


def _check_readable(scoring: Scoring, pairs: pd.DataFrame) -> None:
    """What `w2s plan` says of a recipe's texts: a score of text that a model cannot read is a number all the same.

    Raises:
        W2SError: the model cannot read the pairs.
    """
    from w2s_pref.models.adapters import tokenizer_folder
    from w2s_pref.models.tokenizer_file import tokenizer_file
    from w2s_pref.models.unknown import POOR, UNREADABLE, reader_in_memory, reader_of, unequal, unknown_of, unreadable

    given = scoring.model
    if isinstance(given, tuple):
        who, found = "the model", reader_in_memory(given[1])
    else:
        file = tokenizer_file(tokenizer_folder(saved_model(given)))
        who, found = f"model {str(given)!r}", None if file is None else reader_of(file, None)
    if found is None:
        return
    unknown = unknown_of(found, pairs)
    said = unreadable(who, "these pairs", unknown, [], _GO_ON)
    if unknown.share > UNREADABLE and scoring.unknown_tokens == "error":
        raise W2SError(said)
    for note in [*([said] if unknown.share > POOR else []), *unequal(who, "these pairs", unknown)]:
        log.warning(note)


def _texts(pairs: pd.DataFrame) -> pd.DataFrame:
    """``id, prompt, chosen, rejected`` of pairs in neutral order."""
    first = pairs["truth"] == 1
    texts = {"chosen": pairs["a"].where(first, pairs["b"]), "rejected": pairs["b"].where(first, pairs["a"])}
    return pairs[["id", "prompt"]].assign(**texts)


def _asked(by: str | None, own: list[str]) -> str | None:
    """The column of the score table that holds the pairs' column ``by``."""
    if by is None:
        return None
    if by not in own:
        near = did_you_mean(by, own) or ";"
        raise W2SError(f"by {by!r}: the pairs have no such column{near} theirs are {', '.join(own) or 'none'}")
    return f"pairs.{by}" if by in OURS else by


def load_pairs(scoring: Scoring) -> Loaded:
    """The pairs, those of a benchmark from the hub unless a file or rows are given.

    Raises:
        W2SError: they cannot be read, or are none.
    """
    from w2s_pref.data.benchmarks import BENCHMARKS, benchmark_rows
    from w2s_pref.data.files import as_table
    from w2s_pref.data.readers import Part
    from w2s_pref.data.sources import load

    name, given, here = benchmark_of(scoring), scoring.pairs, Path.cwd()
    if scoring.columns.get("p") is not None:
        raise W2SError(
            "columns: a score table has one better answer a pair and no place for the probability p; leave p out, and "
            "give rows whose chosen is the better answer"
        )
    if name is not None and scoring.columns:
        raise W2SError(f"columns: rows of {name} have the columns of {BENCHMARKS[name].hub}; leave it out")
    if isinstance(given, str | Path):
        return load(_source(scoring, str(given), name), here)
    table = as_table(_as_held(given), "pairs")
    if name is not None:
        table = as_table(benchmark_rows(name, table), name)
    return load(_source(scoring, "the table", None), parts=[Part("pairs", table)])


def _as_held(given: Any) -> Any:
    """Rows in any sequence as a list of dictionaries; what ``as_table`` reads or refuses by itself, as it is."""
    if hasattr(given, "features") or not isinstance(given, Iterable) or isinstance(given, pd.DataFrame | Mapping):
        return given
    rows = list(given)
    return [dict(row) if isinstance(row, Mapping) else row for row in rows]


def _source(scoring: Scoring, place: str, benchmark: BenchmarkName | None) -> Source:
    """What a recipe would say of the pairs."""
    from w2s_pref.data.benchmarks import BENCHMARKS
    from w2s_pref.data.sources import Source

    wanted: dict[str, Any] = {"source": place, "objective": scoring.objective, "columns": dict(scoring.columns)}
    if benchmark is None:
        wanted["split"] = scoring.split
    else:
        options = {} if place in (benchmark, BENCHMARKS[benchmark].hub) else {"path": place}
        wanted |= {"source": benchmark, "options": options | ({"split": scoring.split} if scoring.split else {})}
    if benchmark_of(scoring) is not None:
        wanted["on_bad_row"] = "drop"  # its file cannot be mended by who scores it; the count is said
    return read_section(Source, wanted, "score")


def benchmark_of(scoring: Scoring) -> BenchmarkName | None:
    """The benchmark that is asked for, or that the pairs are by their name."""
    from w2s_pref.data.benchmarks import BENCHMARKS

    given = str(scoring.pairs) if isinstance(scoring.pairs, str | Path) else None
    if scoring.benchmark is not None and scoring.benchmark not in BENCHMARKS:
        near = did_you_mean(str(scoring.benchmark), list(BENCHMARKS)) or ";"
        raise W2SError(
            f"benchmark {scoring.benchmark!r}: there is none of this name{near} known: {', '.join(BENCHMARKS)}"
        )
    return scoring.benchmark or next((name for name, found in BENCHMARKS.items() if given in (name, found.hub)), None)


def _opened(model: Model) -> tuple[tuple[Any, Any], str]:
    """Model and tokenizer, and what to call them."""
    if isinstance(model, tuple):
        _check_head(*model)
        return model, "model"
    from w2s_pref.models.load import load_saved

    folder = saved_model(model)
    return load_saved(folder), folder.resolve().name


def _check_head(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse of a model in memory what loading its folder would: its first output would be taken for a reward."""
    from w2s_pref.models.batches.wrapped import inner

    found = inner(model)
    if found.get_output_embeddings() is not None:
        raise W2SError(f"model: a language model ({type(found).__name__}) has no head of a reward model")
    if found.config.num_labels != 1:
        raise W2SError(f"model: it has {found.config.num_labels} outputs; a reward model has one")
    if tokenizer.pad_token_id is None:
        raise W2SError("tokenizer: it has no pad token; set tokenizer.pad_token")


def saved_model(model: str | Path) -> Path:
    """The folder of a saved reward model.

    Raises:
        W2SError: it is none.
    """
    folder = local_path(model, "model")
    if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        what = "a folder without config.json" if folder.is_dir() else "no folder here"
        if str(model).startswith("ladder/"):
            what = "the ladder holds language models, and no trained reward model"
        raise W2SError(
            f"model {str(model)!r}: {what}; give the folder of a saved reward model, e.g. runs/NAME/students/STUDENT"
        )
    return folder


def board_json(board: Board) -> dict[str, Any]:
    """A board for programs: ``title, lines: [{part, name, rows, accuracy}], notes``."""
    lines = [{**asdict(line), "accuracy": line.accuracy.model_dump(mode="json")} for line in board.lines]
    return {"title": board.title, "lines": lines, "notes": board.notes}
