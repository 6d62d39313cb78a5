"""Pairs of one split, hashed once: what keys say about the data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import TRUTH_P, digest
from w2s_pref.data.chat import group_key
from w2s_pref.data.split import shuffled
from w2s_pref.engine.stage import Builder, Stage


def rows_hash(frame: pd.DataFrame) -> str:
    """Hash of what a model may see of pairs: ids and texts, in any order. Ground truth is not in it."""
    columns = [frame[name].tolist() for name in ("id", "form", "prompt", "a", "b")]
    return digest(*sorted(digest(*row) for row in zip(*columns, strict=True)))


def truth_hash(frame: pd.DataFrame) -> str:
    """Hash of the ground truth of pairs, in any order."""
    truth = frame[TRUTH_P].map(repr) if TRUTH_P in frame else frame["truth"].astype(int)
    return digest(*sorted(f"{i}={t}" for i, t in zip(frame["id"], truth, strict=True)))


@dataclass(frozen=True, eq=False)
class Rows:
    """Pairs of one split: columns ``id, group, form, prompt, a, b, truth, objective``, and perhaps ``truth_p``.

    ``control`` finds the control tokens that stay text where these pairs spell them; None: they become tokens.
    """

    name: str
    frame: pd.DataFrame
    control: re.Pattern[str] | None = None

    @cached_property
    def spells_control(self) -> bool:
        """Whether a text spells a control token that stays text: it is read otherwise then than it used to be."""
        find = self.control
        if find is None:
            return False
        return any(find.search(text) is not None for name in ("prompt", "a", "b") for text in self.frame[name])

    @cached_property
    def texts(self) -> str:
        """Hash without ground truth."""
        hashed = rows_hash(self.frame)
        return digest(hashed, "control_tokens", "text") if self.spells_control else hashed

    @cached_property
    def truth(self) -> str:
        """Hash of the ground truth."""
        return truth_hash(self.frame)

    @cached_property
    def groups(self) -> str:
        """Hash of the groups of pairs, in any order: intervals resample them."""
        pairs = sorted(zip(self.frame["id"], self.frame["group"], strict=True))
        return digest(*(f"{identity}:{group}" for identity, group in pairs))

    @cached_property
    def order(self) -> dict[str, str]:
        """For payloads of trainings, whose batches follow the order of the pairs: nothing in that of data.seed 0."""
        ids = self.frame["id"].tolist()
        usual = shuffled(self.frame[["id"]], 0)["id"].tolist()
        return {} if ids == usual else {"order": digest(*ids)}

    @property
    def inputs(self) -> dict[str, Stage]:
        """Stages that make these pairs what a model reads; none where they come from the data as they are."""
        return {}

    def read(self, builder: Builder) -> Rows:
        """The pairs as a model reads them."""
        return self

    def __len__(self) -> int:
        return len(self.frame)


#: What groups look like that are hashes already.
_HASH = re.compile(r"[0-9a-f]{16}")


def slices(w2s: Rows, hops: int) -> dict[str, Rows]:
    """w2s cut by group into one slice per hop, in the order of the groups' hashes.

    Raises:
        W2SError: fewer groups than hops.
    """
    groups = _by_hash(w2s.frame["group"].unique().tolist())
    if len(groups) < hops:
        raise W2SError(
            f"inputs: split: {w2s.name} has {len(groups):,} groups for {hops} hops, and none may stand in two slices; "
            "take a finer group column, a larger w2s or shorter chains, or write inputs: same"
        )
    share = pd.Series({group: number * hops // len(groups) for number, group in enumerate(groups)})
    cut = w2s.frame["group"].map(share)
    return {
        f"w2s/{hop + 1}": Rows(f"w2s/{hop + 1}", w2s.frame[cut == hop].reset_index(drop=True), w2s.control)
        for hop in range(hops)
    }


def one_a_prompt(frame: pd.DataFrame) -> pd.DataFrame:
    """The first pair of every prompt, whatever groups the user has made of prompts."""
    columns = zip(*(frame[name].tolist() for name in ("group", "form", "prompt")), strict=True)
    keys = pd.Series([_prompt_key(*row) for row in columns], index=frame.index, dtype=object)
    return frame[~keys.duplicated()]


def _prompt_key(group: str, form: str, prompt: str) -> str:
    """What two pairs about one prompt share: without a prompt, or where it is a hash, the group."""
    asked = prompt != "[]" if form == "chat" else bool(prompt.strip())
    return group_key(prompt, form) if asked and not _HASH.fullmatch(group) else group


def _by_hash(groups: list[str]) -> list[str]:
    """The groups in an order that says nothing of them: names, which may sort easy before hard, are hashed first."""
    hashed = all(_HASH.fullmatch(group) for group in groups)
    return sorted(groups, key=None if hashed else digest)
