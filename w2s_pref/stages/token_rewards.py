"""Token rewards: what a tuned policy says of every answer token over its reference, for students that learn from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Builder, Stage

if TYPE_CHECKING:
    from w2s_pref.data.token_cache import Tokenized


@dataclass(frozen=True, eq=False)
class TokenRewards:
    """Token log-probabilities (``LogProbStage.each``) of the pairs of every part of a training.

    ``tuned`` and ``untuned`` are a weaker policy's and its reference's; their difference is the reward of a token.
    ``own`` are those of the student's reference; empty where the loss does not read it.
    """

    tuned: tuple[Stage, ...]
    untuned: tuple[Stage, ...]
    own: tuple[Stage, ...] = ()

    @property
    def inputs(self) -> dict[str, Stage]:
        """The weaker policy's; the student's reference is among its inputs anyway."""
        named = {"tuned": self.tuned, "untuned": self.untuned}
        return {f"{name}{n}": stage for name, stages in named.items() for n, stage in enumerate(stages)}

    def of(self, builder: Builder, part: int, tokens: Tokenized, side: str) -> list[tuple[Floats, Floats | None]]:
        """Of every answer on side ``a`` or ``b`` of a part: rewards and the reference's log-probabilities, (n,) each.

        Raises:
            W2SError: an answer without a token, or one that the weaker policy reads as other tokens.
        """
        tuned, untuned = (_read(builder, stages[part], tokens, side) for stages in (self.tuned, self.untuned))
        own = _read(builder, self.own[part], tokens, side) if self.own else [None] * len(tuned)
        return [(up - down, base) for up, down, base in zip(tuned, untuned, own, strict=True)]


def _read(builder: Builder, stage: Stage, tokens: Tokenized, side: str) -> list[Floats]:
    """(n,) a pair, in the order of ``tokens``, float64."""
    from w2s_pref.models.scoring import responses

    table = builder.table(stage).set_index("id").reindex(tokens.ids)
    for pair, said, ids in zip(tokens.ids, table[f"ids_{side}"], responses(tokens, side), strict=True):
        if not len(ids):
            raise W2SError(
                f"{stage.name}: an answer of pair {pair} has no token, so that no token of it can be learned; take the "
                "pair out of the data, or check the tokenizer: it should end texts in eos"
            )
        if not isinstance(said, np.ndarray) or not np.array_equal(said, ids):
            raise W2SError(
                f"{stage.name}: it reads an answer of pair {pair} as other tokens than the student does, so its token "
                "rewards are not of the student's tokens; take models with the same tokenizer and chat template"
            )
    return [each.astype(float) for each in table[f"each_{side}"]]
