"""RewardBench and RewardBench 2 as preference pairs, from the hub or from files with the same columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.hub import hub_rows
from w2s_pref.core.tables import digest
from w2s_pref.data.readers import Request, read

BenchmarkName = Literal["reward-bench", "reward-bench-2"]
#: Subset of RewardBench 2 whose prompts have several right answers.
TIES: Final = "Ties"


@dataclass(frozen=True)
class Benchmark:
    """Where a benchmark is on the hub, and the columns its rows must have."""

    hub: str
    split: str
    columns: tuple[str, ...]


#: By the name of the data set that ``DATASETS`` registers.
BENCHMARKS: Final[dict[BenchmarkName, Benchmark]] = {
    "reward-bench": Benchmark("allenai/reward-bench", "filtered", ("id", "prompt", "chosen", "rejected", "subset")),
    "reward-bench-2": Benchmark("allenai/reward-bench-2", "test", ("id", "prompt", "chosen", "rejected", "subset")),
}


def reward_bench(
    recipe_folder: Path = Path(), path: str | None = None, split: str | None = None, revision: str | None = None
) -> list[dict[str, Any]]:
    """Rows ``id, subset, prompt, chosen, rejected`` of RewardBench as conversations, in the order of the file.

    Rows of the prior sets (``allenai/pref-test-sets``, its split named in a column ``subset``) are read as well.

    Args:
        recipe_folder: where a relative ``path`` starts, before the working directory.
        path: local file or folder with the same columns; the hub is not asked.
        split: default filtered; with ``path`` only for what ``datasets.save_to_disk`` wrote.
        revision: on the hub.

    Raises:
        W2SError: a column is missing, or a local file cannot be read.
        Unreachable: the hub cannot be asked and the data set is not in its local cache.
    """
    return _read("reward-bench", path, recipe_folder, split, revision)


def _one_each(frame: pd.DataFrame) -> list[dict[str, Any]]:
    ids = frame["subset"].astype(str) + ":" + frame["id"].astype(str)
    again = ids.groupby(ids).cumcount()  # ids of some subsets start anew
    ids = ids.where(again == 0, ids + "#" + again.astype(str))
    return [
        {"id": name, **_conversation(row["prompt"], row["chosen"], row["rejected"]), "subset": row["subset"]}
        for name, row in zip(ids, frame.to_dict("records"), strict=True)
    ]


def reward_bench_2(
    recipe_folder: Path = Path(), path: str | None = None, split: str | None = None, revision: str | None = None
) -> list[dict[str, Any]]:
    """RewardBench 2, one row for every right answer of a prompt with every wrong one of the same prompt.

    ``item`` is the benchmark's own id, ``correct`` and ``incorrect`` the places of the two answers in its lists. A
    prompt of Ties and its reference prompt are one group. Arguments and errors: see ``reward_bench``; the default
    split is test.
    """
    return _read("reward-bench-2", path, recipe_folder, split, revision)


def _every_pair(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[Any, Any]] = frame.to_dict("records")
    numbered = zip(frame.index, rows, strict=True)
    return [pair for number, row in numbered for pair in _pairs(row, f"reward-bench-2, row {number}")]


def benchmark_rows(name: BenchmarkName, frame: pd.DataFrame, place: str = "the table") -> list[dict[str, Any]]:
    """Rows as the hub has them -> what ``reward_bench`` or ``reward_bench_2`` returns.

    Args:
        frame: its index is the row number that a person would count.
        place: where they come from, for messages.

    Raises:
        W2SError: a column is missing, or a row is none of the benchmark's.
    """
    benchmark = BENCHMARKS[name]
    missing = [column for column in benchmark.columns if column not in frame]
    if missing:
        raise W2SError(
            f"{place}: no column {missing[0]!r} (columns: {', '.join(map(str, frame.columns))}); "
            f"give rows as {benchmark.hub} has them: {', '.join(benchmark.columns)}"
        )
    return _one_each(frame) if name == "reward-bench" else _every_pair(frame)


def _read(
    name: BenchmarkName, path: str | None, base: Path, split: str | None, revision: str | None
) -> list[dict[str, Any]]:
    benchmark = BENCHMARKS[name]
    if path is None:
        frame: pd.DataFrame = hub_rows(
            benchmark.hub, name, split=split or benchmark.split, revision=revision
        ).to_pandas()
        frame.index += 1
    else:
        frame = pd.concat([part.frame for part in read(Request(path, base, split=split))])
    return benchmark_rows(name, frame, path or benchmark.hub)


def _conversation(prompt: Any, chosen: Any, rejected: Any) -> dict[str, Any]:
    """The three cells as messages, which a chat template then writes; what is not text is left for the loader."""
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    answers = [
        [{"role": "assistant", "content": text}] if isinstance(text, str) else text for text in (chosen, rejected)
    ]
    return {"prompt": asked, "chosen": answers[0], "rejected": answers[1]}


def _pairs(row: dict[Any, Any], where: str) -> Iterator[dict[str, Any]]:
    correct, incorrect = (_texts(row[name], name, where) for name in ("chosen", "rejected"))
    ties = row["subset"] == TIES
    if len(correct) > 1 and not ties:
        raise W2SError(f"{where}: {len(correct)} right answers, which only the subset {TIES} has; leave one in chosen")
    item = str(row["id"])
    kind, _, number = item.partition(":")
    if ties and (kind not in {"ref", "tied"} or not number):
        raise W2SError(f"{where}: the id {item!r} is neither ref:NUMBER nor tied:NUMBER, as ids of {TIES} are")
    group = f"{TIES}:{number}" if ties else digest(str(row["prompt"]))[:16]
    for i, right in enumerate(correct):
        for j, wrong in enumerate(incorrect):
            yield {
                "id": f"{row['subset']}:{item}/{i}-{j}",
                "group": group,
                **_conversation(row["prompt"], right, wrong),
                "subset": row["subset"],
                "item": item,
                "correct": i,
                "incorrect": j,
            }


def _texts(cell: Any, name: str, where: str) -> list[Any]:
    """The answers of one cell."""
    if isinstance(cell, str) or not hasattr(cell, "__len__") or not len(cell):
        raise W2SError(f"{where}: {name} is no list of answers; RewardBench 2 has lists, in JSON, JSONL or Parquet")
    return list(cell)
