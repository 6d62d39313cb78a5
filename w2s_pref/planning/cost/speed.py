"""A short calibration: how fast this machine trains and scores the recipe's own models on the recipe's own pairs.

The real functions run, on two sizes of a sample and from random weights: a line through the two times has the fixed
cost of a stage (loading, saving, re-scoring) and the cost of a pair.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from w2s_pref.models.spec import ModelSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from w2s_pref.data.tokens import Tokenized

#: Optimizer steps of the two trainings, and pairs of the two scorings.
STEPS = (2, 6)
PAIRS = (32, 160)


@dataclass(frozen=True)
class Speed:
    """Seconds of a stage: ``fixed`` plus ``per_pair`` for every pair that it goes through."""

    fixed: float
    per_pair: float

    def seconds(self, pairs: float) -> float:
        """Seconds for so many pairs."""
        return self.fixed + self.per_pair * pairs


def line(small: tuple[float, float], large: tuple[float, float]) -> Speed:
    """The line through two (pairs, seconds); neither part is negative."""
    slope = max(0.0, (large[1] - small[1]) / (large[0] - small[0]))
    return Speed(max(0.0, small[1] - slope * small[0]), slope)


class Bench:
    """Measures one model on a sample of pairs."""

    def __init__(self, spec: ModelSpec, base: Path, frame: pd.DataFrame, tokens: dict[str, Any]) -> None:
        self.spec, self.base, self.tokens = spec, base, {**tokens, "overlong": "truncate"}
        self.frame = frame

    def reward_training(self, arguments: dict[str, Any]) -> Speed:
        """Training of a reward model, saved, loaded again and re-scored, as a stage does it."""
        from w2s_pref.models.load import load_base, load_saved
        from w2s_pref.models.scoring import score_pairs
        from w2s_pref.training.fit import FitJob, fit
        from w2s_pref.training.reward import Loss

        def once(steps: int, work: Path) -> int:
            model, tokenizer = load_base(self.spec, self.base, 0)
            tokens, columns = self._tokenized(tokenizer, steps * arguments["batch_size"])
            job = FitJob(
                tokens.a_ids, tokens.b_ids, columns, Loss(),
                arguments=arguments, seed=0, updates=steps, lora=self.spec.lora,
            )  # fmt: skip
            fit(model, tokenizer, job, work / "partial", work / "saved")
            score_pairs(*load_saved(work / "saved", self.spec.trust_remote_code), self.frame.head(16), **self.tokens)
            return steps * int(arguments["batch_size"])

        return _timed(once, STEPS)

    def policy_training(self, arguments: dict[str, Any]) -> Speed:
        """Training of a policy on pairs with its reference's log-probabilities given."""
        from w2s_pref.losses.pairs import PairObjective
        from w2s_pref.models.policies import load_policy, load_saved_policy
        from w2s_pref.models.scoring import logprob_pairs
        from w2s_pref.training.policy import PolicyJob, fit_policy

        def once(steps: int, work: Path) -> int:
            model, tokenizer = load_policy(self.spec, self.base, 0)
            tokens, columns = self._tokenized(tokenizer, steps * arguments["batch_size"])
            zeros = [0.0] * len(tokens.ids)
            job = PolicyJob(
                tokens.a_ids, tokens.b_ids, tokens.a_starts, tokens.b_starts,
                {**columns, "ref_a": zeros, "ref_b": zeros}, PairObjective(),
                arguments=arguments, seed=0, updates=steps, lora=self.spec.lora,
            )  # fmt: skip
            fit_policy(model, tokenizer, job, work / "partial", work / "saved")
            loaded = load_saved_policy(work / "saved", self.spec.trust_remote_code)
            logprob_pairs(*loaded, self.frame.head(8), **self.tokens)
            return steps * int(arguments["batch_size"])

        return _timed(once, STEPS)

    def scoring(self) -> Speed:
        """Scores of pairs by a reward model that is loaded."""
        from w2s_pref.models.load import load_base
        from w2s_pref.models.scoring import score_pairs

        return self._passes(score_pairs, *load_base(self.spec, self.base, 0))

    def logprobs(self) -> Speed:
        """Log-probabilities of pairs under a policy that is loaded."""
        from w2s_pref.models.policies import load_policy
        from w2s_pref.models.scoring import logprob_pairs

        return self._passes(logprob_pairs, *load_policy(self.spec, self.base, 0))

    def _passes(
        self, go_through: Callable[..., object], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> Speed:
        def once(pairs: int, work: Path) -> int:
            go_through(model, tokenizer, self._repeated(pairs), **self.tokens)
            return pairs

        return _timed(once, PAIRS)

    def _repeated(self, rows: int) -> pd.DataFrame:
        """So many pairs, the sample over and over, each with a text of its own: equal texts would be computed once."""
        copies = -(-rows // len(self.frame))
        frames = [self.frame.assign(a=self.frame["a"] + " " * turn) for turn in range(copies)]
        table = pd.concat(frames, ignore_index=True).head(rows)
        return table.assign(id=[f"pair {at}" for at in range(rows)])

    def _tokenized(self, tokenizer: PreTrainedTokenizerBase, rows: int) -> tuple[Tokenized, dict[str, list[float]]]:
        from w2s_pref.data.tokens import tokenize

        tokens = tokenize(self._repeated(rows), tokenizer, **self.tokens, starts=True)
        return tokens, {"p": [1.0] * rows, "sign": [0.0] * rows}


def _timed(once: Callable[[int, Path], int], sizes: tuple[int, int]) -> Speed:
    """Both sizes, after one run that warms caches and imports."""
    from w2s_pref.training.environment import quiet

    quiet()
    points = []
    for size in (sizes[0], *sizes):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            pairs = once(size, Path(folder))
            points.append((float(pairs), time.perf_counter() - started))
    return line(points[1], points[2])
