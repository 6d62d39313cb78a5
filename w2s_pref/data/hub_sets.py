"""Data sets of the hub that need more than a mapping of columns: HH-RLHF and PKU-SafeRLHF, in the form of HH-RLHF."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.hub import hub_rows
from w2s_pref.data.chat import ANSWER_MARK, USER_MARK
from w2s_pref.data.problems import MissingResponse, short
from w2s_pref.data.readers import Request, read

#: Objective -> the data folder of HH-RLHF whose pairs are about it.
SUBSETS = {"harmless": "harmless-base", "helpful": "helpful-base"}


def hh_rlhf(
    subset: str | None = None,
    split: str = "train",
    single_turn: bool = True,
    revision: str | None = None,
    objective: str = "harmless",
) -> list[dict[str, Any]]:
    """Rows ``prompt, chosen, rejected`` of one subset; prompts end in "\\n\\nAssistant:", answers in nothing.

    Dialogues that part before the last answer are bad rows (``on_bad_row``). Those of more turns are not read.

    Args:
        subset: data folder on the hub, such as helpful-online; by default the base folder of the objective.
        single_turn: keep only dialogues with one human turn, like the paper.
        objective: harmless or helpful; any other where ``subset`` is named.

    Raises:
        W2SError: another objective, and no subset.
        Unreachable: the hub cannot be asked and the data set is not in its local cache.
    """
    subset = subset or _subset(objective)
    rows = hub_rows("Anthropic/hh-rlhf", subset, data_dir=subset, split=split, revision=revision)
    pairs = [split_dialogue(row["chosen"], row["rejected"]) for row in rows]
    return [pair for pair in pairs if not (single_turn and pair["prompt"].count(USER_MARK) > 1)]


def _subset(objective: str) -> str:
    if objective == "target":  # of pairs that are scored, and no objective is said
        objective = "harmless"
    if objective not in SUBSETS:
        raise W2SError(
            f"hh-rlhf: no objective {objective!r}; write objective: helpful ({SUBSETS['helpful']}) or harmless "
            f"({SUBSETS['harmless']}), or keep yours and name the pairs: options: {{subset: {SUBSETS['helpful']}}}"
        )
    return SUBSETS[objective]


def split_dialogue(chosen: str, rejected: str) -> dict[str, Any]:
    """Two full dialogues → prompt and two last answers; no answers where they part before the last one."""
    prompt, found, answer = chosen.rpartition(ANSWER_MARK)
    other_prompt, _, other = rejected.rpartition(ANSWER_MARK)
    if not found or prompt != other_prompt or re.search(USER_MARK, answer + other):
        bad = MissingResponse("other_questions", "the two dialogues part before the last answer")
        return {"prompt": prompt + found, "chosen": bad, "rejected": bad}
    return {"prompt": prompt + ANSWER_MARK, "chosen": answer, "rejected": other}


#: Objective -> column with the number of the answer that it prefers.
VERDICTS = {"helpful": "better_response_id", "harmless": "safer_response_id"}


def pku_saferlhf(
    objective: str,
    recipe_folder: Path = Path(),
    subset: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    path: str | None = None,
) -> list[dict[str, Any]]:
    """Rows ``prompt, chosen, rejected``, written as HH-RLHF has them: the prompt a turn that ends in "Assistant:".

    Both objectives hold the same pairs under the same ids; where the verdicts differ, with opposite truth.

    Args:
        objective: helpful or harmless.
        recipe_folder: where a relative ``path`` starts, before the working directory.
        subset: configuration on the hub, such as alpaca-7b; default all.
        split: train (default) or test; with ``path`` only for what ``datasets.save_to_disk`` wrote.
        revision: on the hub.
        path: local file or folder with the same columns; the hub is not asked.

    Raises:
        W2SError: another objective, a missing column, options that do not go together.
        Unreachable: the hub cannot be asked and the data set is not in its local cache.
    """
    if objective not in VERDICTS:
        raise W2SError(
            f"pku-saferlhf: no objective {objective!r}; write objective: helpful ({VERDICTS['helpful']}) or harmless "
            f"({VERDICTS['harmless']}), or keep yours and write options: {{objective: …}}"
        )
    if path is None:
        keys = {"name": subset, "split": split or "train", "revision": revision}
        frame = hub_rows("PKU-Alignment/PKU-SafeRLHF", subset or "all", **keys).to_pandas()
    else:
        frame = _local(path, recipe_folder, split, {"subset": subset, "revision": revision})
    columns = ["prompt", "response_0", "response_1", VERDICTS[objective]]
    if missing := [column for column in columns if column not in frame]:
        raise W2SError(
            f"pku-saferlhf{f' ({path})' if path else ''}: no column {missing[0]!r} "
            f"(columns: {', '.join(map(str, frame.columns))}); give rows as PKU-Alignment/PKU-SafeRLHF has them"
        )
    cells = zip(*(frame[column].tolist() for column in columns), strict=True)
    return [_row(prompt, answers, verdict, VERDICTS[objective]) for prompt, *answers, verdict in cells]


def _local(path: str, base: Path, split: str | None, hub_only: dict[str, str | None]) -> pd.DataFrame:
    """All rows of a file or folder, one file after another."""
    for key, value in hub_only.items():
        if value:
            raise W2SError(f"pku-saferlhf: {key} is for the hub only; remove {key}: {value!r}, or path")
    return pd.concat([part.frame for part in read(Request(path, base, split=split))], ignore_index=True)


def _row(prompt: Any, answers: list[Any], verdict: Any, column: str) -> dict[str, Any]:
    which = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}.get(str(verdict))  # text in CSV; floats where a cell is empty
    if which is None:
        bad = MissingResponse("no_verdict", f"{column} is {short(verdict)}, not 0 or 1")
        return {"prompt": _turn(prompt), "chosen": bad, "rejected": bad}
    return {"prompt": _turn(prompt), "chosen": _answer(answers[which]), "rejected": _answer(answers[1 - which])}


def _turn(prompt: Any) -> Any:
    return f"{USER_MARK} {prompt.strip()}{ANSWER_MARK}" if isinstance(prompt, str) else prompt


def _answer(answer: Any) -> Any:
    """After "Assistant:" comes one space, as in HH-RLHF. What is not text stays, and is refused by the loader."""
    return f" {answer.lstrip()}" if isinstance(answer, str) else answer
