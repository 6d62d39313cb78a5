"""Pairs that policies write: a positive answer to each prompt against a negative one, and which of them are learned.

MACPO, Lyu et al. 2024 (arXiv 2410.07672). The texts exist only when the policies have written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import TRUTH_P, digest
from w2s_pref.data.chat import as_answer
from w2s_pref.engine.stage import Builder, Stage, present
from w2s_pref.stages.answers import SampleStage
from w2s_pref.stages.policies import LogProbStage
from w2s_pref.stages.rows import Rows, one_a_prompt

#: Raised when pairs are made otherwise of the same answers.
FORM = 1
COLUMNS = ["id", "a", "b", "p", "keep"]


@dataclass(frozen=True, eq=False)
class Candidates(Stage):
    """Every positive answer to a prompt, each beside the negative one: ``table.parquet`` with ``id, a, b, p, keep``.

    ``id`` is that of the prompt and the number of the answer, ``a`` and ``b`` stand in an order that the texts decide,
    ``p`` is 1 where ``a`` is the positive one, else 0; ``keep`` is False where one has no word or both are the same.
    """

    kind: ClassVar[str] = "candidates"
    on_main: ClassVar[bool] = True
    positive: SampleStage
    negative: SampleStage

    @property
    def inputs(self) -> dict[str, Stage]:
        """Both policies' answers."""
        return {"positive": self.positive, "negative": self.negative}

    @property
    def payload(self) -> dict[str, Any]:
        """How pairs are made; the ids, because answers know their prompts by place."""
        return {"form": FORM, "ids": self.prompts.frame["id"].tolist()}

    @property
    def prompts(self) -> Rows:
        """What both answer."""
        return self.positive.prompts

    @property
    def rows(self) -> int:
        """Pairs."""
        return self.positive.rows

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``.

        Raises:
            W2SError: no pair is left, because answers are empty or the same.
        """
        table = paired(builder.table(self.positive), builder.table(self.negative), self.prompts.frame)
        table.to_parquet(folder / "table.parquet", index=False)
        kept = int(table["keep"].sum())
        if not kept:
            raise W2SError(
                f"{self.name}: none of {len(table)} pairs is left: in each an answer has no word in it, or both are "
                "the same; train the policies longer, at another learning rate, or raise speech.max_new_tokens"
            )
        return {"pairs": len(table), "kept": kept}


def paired(positive: pd.DataFrame, negative: pd.DataFrame, prompts: pd.DataFrame) -> pd.DataFrame:
    """The table of ``Candidates``.

    Args:
        positive, negative: columns ``row`` (position of the prompt), ``sample`` and ``text``; of the negative answers
            to a prompt the first is taken.
        prompts: columns ``id`` and ``form``.
    """
    first = negative[negative["sample"] == 0].set_index("row")["text"]
    found = []
    for row, sample, good in positive[["row", "sample", "text"]].itertuples(index=False):
        bad, form = first[row], prompts["form"].iloc[row]
        a, b = sorted((good, bad))
        keep = bool(good.strip() and bad.strip() and good != bad)
        identity = _candidate(prompts["id"].iloc[row], sample)
        found.append((identity, as_answer(form, a), as_answer(form, b), float(a == good), keep))
    return pd.DataFrame(found, columns=COLUMNS)


def _candidate(identity: str, sample: int) -> str:
    return f"{identity} {sample}"


@dataclass(frozen=True, eq=False)
class Chosen(Stage):
    """One pair a prompt, with its label: the candidate of the lowest perplexity, or without one the first.

    ``table.parquet``: ``id`` (the prompt's), ``a, b, p, keep`` and, where it is known, ``perplexity``. Of all prompts
    the ``share`` of the lowest perplexity is kept, one at least.
    """

    kind: ClassVar[str] = "labels"
    on_main: ClassVar[bool] = True
    candidates: Candidates
    logprobs: LogProbStage | None = None
    share: float = 1.0

    @property
    def inputs(self) -> dict[str, Stage]:
        """The candidates, and their log-probabilities under the policy that is to learn them."""
        return present(candidates=self.candidates, logprobs=self.logprobs)

    @property
    def payload(self) -> dict[str, Any]:
        """The share that is kept."""
        return {"form": FORM, "share": self.share}

    @property
    def rows(self) -> int:
        """Pairs."""
        return len(self.candidates.prompts)

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``."""
        table = builder.table(self.candidates)
        if self.logprobs is not None:
            table = table.assign(perplexity=perplexity(table, builder.table(self.logprobs)))
        found = chosen(table, self.candidates.prompts.frame["id"], self.share)
        found.to_parquet(folder / "table.parquet", index=False)
        kept = found[found["keep"]]
        told = {"perplexity": float(kept["perplexity"].mean())} if self.logprobs is not None else {}
        return {"pairs": len(found), "kept": len(kept), **told}


def perplexity(candidates: pd.DataFrame, logprobs: pd.DataFrame) -> np.ndarray:
    """(N,) exp of minus the mean log-probability of a positive answer's tokens; NaN for a pair that was too long."""
    found = logprobs.set_index("id").reindex(candidates["id"])
    first = candidates["p"].to_numpy() == 1
    logp = np.where(first, found["logp_a"], found["logp_b"])
    tokens = np.where(first, found["tokens_a"], found["tokens_b"])
    return np.asarray(np.exp(-logp / np.maximum(tokens, 1)), dtype=np.float64)


def chosen(candidates: pd.DataFrame, ids: pd.Series[str], share: float) -> pd.DataFrame:
    """The table of ``Chosen``: of equal perplexities the earlier answer, and the earlier prompt.

    Args:
        candidates: columns ``COLUMNS`` and perhaps ``perplexity``, in which NaN is never taken.
        ids: of the prompts.
    """
    table = candidates.assign(prompt=candidates["id"].str.rpartition(" ")[0])
    if "perplexity" in table:
        table["keep"] &= table["perplexity"].notna()
        table = table.sort_values("perplexity", kind="stable")
    table = table.sort_values("keep", ascending=False, kind="stable").drop_duplicates("prompt")
    left = table.index[table["keep"]]
    table.loc[left[max(1, int(share * len(left) + 1e-9)) :], "keep"] = False
    found = table.drop(columns="id").rename(columns={"prompt": "id"}).set_index("id").loc[ids.tolist()]
    return found.reset_index()


@dataclass(frozen=True, eq=False)
class Written(Rows):
    """Pairs whose answers stand in the table of ``source``, by id.

    ``frame`` holds prompts with other answers, so that ids, groups and sizes are at hand before. Nobody knows which
    answer is better: ``truth`` is 0 throughout.
    """

    source: Stage = field(kw_only=True)

    @cached_property
    def texts(self) -> str:
        """Hash of ids and prompts, of what the answers are made of, and of how a control token in them is read."""
        ids = [f"{identity} {form}" for identity, form in zip(self.frame["id"], self.frame["form"], strict=True)]
        prompts = self.frame["prompt"].tolist()
        read = "text" if self.control is not None else "control tokens"
        return digest(str(FORM), self.source.key, read, *sorted(map(digest, ids, prompts)))

    @cached_property
    def order(self) -> dict[str, str]:
        """That of the prompts' ids, whatever data.seed is."""
        return {}

    @property
    def inputs(self) -> dict[str, Stage]:
        """What the answers stand in."""
        return {"written": self.source}

    def read(self, builder: Builder) -> Rows:
        """The pairs with their answers."""
        table = builder.table(self.source).set_index("id").loc[self.frame["id"]]
        answers = {side: table[side].tolist() for side in ("a", "b")}
        return Rows(self.name, self.frame.assign(**answers), self.control)


def of_prompts(name: str, rows: Rows) -> Rows:
    """One pair a prompt, the first by id."""
    frame = one_a_prompt(rows.frame.sort_values("id")).reset_index(drop=True)
    return Rows(name, frame, rows.control)


def written(prompts: Rows, source: Candidates | Chosen) -> Written:
    """The pairs of a source about these prompts."""
    frame = prompts.frame.drop(columns=TRUTH_P, errors="ignore").assign(truth=0)
    if isinstance(source, Candidates):
        count = range(int(source.positive.settings["samples"]))
        parts = [frame.assign(id=[_candidate(identity, number) for identity in frame["id"]]) for number in count]
        frame = pd.concat(parts, ignore_index=True)
    return Written(f"pairs of {prompts.name}", frame, prompts.control, source=source)
