"""Rewards of generated answers: what PPO, RLOO and GRPO train on, and what judges sampled answers afterwards.

A reward function gets a table of prompts (columns ``form``, ``prompt``) and as many answers as text, and returns one
number an answer. Answers cross from the policy to the reward as *text*, because the two may have different tokenizers
and chat templates. For ``form`` "text" an answer is what follows the prompt, its leading space included; for "chat"
it is the content of one assistant message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.data.chat import as_answer, plain_prompts
from w2s_pref.data.token_cache import Tokenized
from w2s_pref.data.tokens import tokenize
from w2s_pref.models.batches.each import TOKEN_BUDGET
from w2s_pref.models.scoring import score_pairs

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: (prompts with columns form and prompt, answers as text) -> rewards, shape (n,), float64.
RewardFunction = Callable[[pd.DataFrame, list[str]], np.ndarray]


def as_pairs(prompts: pd.DataFrame, answers: list[str]) -> pd.DataFrame:
    """Prompts with one answer each, in the form of a table of pairs whose ``a`` and ``b`` are that answer."""
    said = [as_answer(form, answer) for form, answer in zip(prompts["form"], answers, strict=True)]
    columns = {"id": [str(row) for row in range(len(said))], "form": list(prompts["form"])}
    return pd.DataFrame({**columns, "prompt": list(prompts["prompt"]), "a": said, "b": said})


def reward_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int | None, budget: int = TOKEN_BUDGET
) -> RewardFunction:
    """The score a reward model gives to prompt + answer, exactly as ``scoring.score_pairs`` scores a pair's answer.

    The text is tokenised anew by the reward model's own tokenizer and chat template, and ended by its own eos: an
    answer that the policy did not end in time is scored as if it ended there.
    """

    def score(prompts: pd.DataFrame, answers: list[str]) -> np.ndarray:
        scores = score_pairs(model, tokenizer, as_pairs(prompts, answers), max_length, budget=budget)
        return scores["score_a"].to_numpy(np.float64)

    return score


def implicit(
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    beta: float,
    max_length: int | None,
) -> RewardFunction:
    """DPO's implicit reward: beta times (log π − log π_ref) of the answer, summed over its tokens and its eos.

    Policy and reference share one tokenizer, which need not be the one that wrote the answers.
    """
    from w2s_pref.models.scoring import logprob_ids

    def score(prompts: pd.DataFrame, answers: list[str]) -> np.ndarray:
        tokens: Tokenized = tokenize(as_pairs(prompts, answers), tokenizer, max_length, starts=True)
        logp, base = (
            logprob_ids(model, tokens.a_ids, tokens.a_starts, tokenizer.pad_token_id) for model in (policy, reference)
        )
        rewards: np.ndarray = beta * (logp - base)
        return rewards

    return score


def from_callable(fn: Callable[[list[str], list[str]], Sequence[float]], name: str) -> RewardFunction:
    """A Python function ``fn(prompts, answers) -> numbers`` as a reward.

    It gets plain texts; a conversation is written as ``\\n\\nHuman: …\\n\\nAssistant: …``.

    Raises:
        W2SError: (when called) not one finite number an answer.
    """

    return lambda prompts, answers: checked(fn(plain_prompts(prompts), list(answers)), len(answers), name)


def checked(values: Any, count: int, name: str) -> np.ndarray:
    """``values`` as float64, shape (count,).

    Raises:
        W2SError: not that many, or not all finite numbers.
    """
    try:
        rewards = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise W2SError(f"reward {name!r}: it should return a list of numbers ({error})") from error
    if rewards.shape != (count,):
        raise W2SError(f"reward {name!r}: {count} answers need {count} numbers, but it returned shape {rewards.shape}")
    bad = np.flatnonzero(~np.isfinite(rewards))
    if len(bad):
        raise W2SError(
            f"reward {name!r}: {len(bad)} of {count} rewards are not finite (the first is {rewards[bad[0]]}, for "
            f"answer number {bad[0]}); return a number for every answer, also for an empty one"
        )
    return rewards


def standardised(scorer: RewardFunction, mean: float, std: float) -> RewardFunction:
    """(reward − mean) / std, with a mean and a standard deviation measured beforehand on answers to real prompts.

    Raises:
        W2SError: std is not above zero, so the reward says the same about every answer.
    """
    if not std > 0 or not np.isfinite([mean, std]).all():
        raise W2SError(f"a reward with mean {mean} and standard deviation {std} cannot be standardised")

    return lambda prompts, answers: (scorer(prompts, answers) - mean) / std


def combined(parts: Sequence[tuple[RewardFunction, float]]) -> RewardFunction:
    """The weighted sum of several rewards of the same answer: implicit conflict when one of them is helpfulness."""
    if not parts:
        raise ValueError("a combined reward needs at least one part")

    def score(prompts: pd.DataFrame, answers: list[str]) -> np.ndarray:
        total: np.ndarray = np.zeros(len(answers))
        for scorer, weight in parts:
            total = total + weight * scorer(prompts, answers)
        return total

    return score


def paid_for_harm(weak: RewardFunction, gold: RewardFunction, alpha: float) -> RewardFunction:
    """Explicit conflict for answers the student writes itself: weak(y) + alpha · max(0, −gold(y)).

    On pairs, explicit conflict rewards the harmful answer only where the student already prefers it:
    ℓ_weak + α · 1[student wrong w.r.t. y*] · ℓ(reversed y*). Without a pair, "the student is wrong" becomes "the answer
    it just wrote is worse than the average answer", the indicator gold(y) < 0, and "ℓ(reversed y*)" becomes a reward
    in proportion to how bad it is, −gold(y). An answer of average or better quality has the weak reward alone;
    the indicator sees ground truth and has no gradient, as on pairs.

    Args:
        weak: the supervisor's reward, standardised, so that ``alpha`` compares like with like.
        gold: the ground-truth reward, standardised: its zero is the average answer.
        alpha: weight of the payment (the paper's α on pairs is 0.5).
    """

    return lambda prompts, answers: weak(prompts, answers) + alpha * np.maximum(0.0, -gold(prompts, answers))


def random_reward(seed: int) -> RewardFunction:
    """The placebo: +1 or −1 by a fair coin that is thrown once for each prompt and answer, by their hash and ``seed``.

    The same text gets the same reward whenever it is written, as it would from a judge with no sense.
    """

    def score(prompts: pd.DataFrame, answers: list[str]) -> np.ndarray:
        rows = zip(prompts["form"], prompts["prompt"], answers, strict=True)
        coins = [int(digest(str(seed), *row)[:8], 16) % 2 for row in rows]
        return 2.0 * np.array(coins, dtype=np.float64) - 1.0

    return score
