"""What would fail in a study only after hours of training, told before anything is built. Reads no weights."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

from w2s_pref.core.errors import W2SError
from w2s_pref.models.info import ModelFacts
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.policies import PolicyScoreStage
from w2s_pref.studies.preferences.study import Study
from w2s_pref.training.arguments import ONLINE_DEFAULTS
from w2s_pref.training.methods import REWARDS, Method

#: Pairs that two tokenizers are asked to write alike.
COMPARED = 32


def check_room(study: Study, model: str, answer: int, where: str) -> None:
    """The rule of ``generation.prompt_room``, from the configuration alone.

    Raises:
        W2SError: answers of ``answer`` tokens leave less than two for the prompt.
    """
    limits = {"data.max_length": study.recipe.data.max_length, f"the context of {model!r}": study.models[model].context}
    name, limit = min(((name, n) for name, n in limits.items() if n is not None), key=lambda item: item[1])
    if limit - answer < 2:
        raise W2SError(
            f"{where} is {answer}, which leaves no room for a prompt: {name} is {limit} tokens for prompt and answer "
            "together; lower the one or raise the other"
        )


def check_answers(study: Study, model: str, found: Method) -> None:
    """Room for the answers that an on-policy method samples while it trains."""
    given, where = found.config.training, f"methods.{found.name}.training"
    if found.family == "ppo":
        from w2s_pref.training.ppo.settings import PPOSettings

        answer = given.get("response_length", PPOSettings.model_fields["response_length"].default)
        check_room(study, model, answer, f"{where}.response_length")
    else:
        answer = (ONLINE_DEFAULTS | given)["max_completion_length"]
        if answer is None:
            raise W2SError(f"{where}.max_completion_length: should be a number, so that prompts can leave room for it")
        check_room(study, model, answer, f"{where}.max_completion_length")


def check_margin(study: Study, found: Method) -> None:
    """A margin of the user's own is there and takes its options.

    Raises:
        W2SError: it is not, or it does not.
    """
    from w2s_pref.losses import margins

    with _said_of(f"methods.{found.name}.algorithm"):
        margins.bound(found.algorithm, found.beta, found.config.options, study.base)


def check_reward(study: Study, found: Method) -> None:
    """A reward function is there, and takes prompts and answers.

    Raises:
        W2SError: no such name, file, module or function, or it takes something else.
    """
    name = found.config.reward
    with _said_of(f"methods.{found.name}.reward"):
        function = REWARDS.find(name, study.base)
        try:
            inspect.signature(function).bind([], [])
        except (TypeError, ValueError) as error:
            raise W2SError(f"{name}: {error}; a reward is called with two lists, prompts and answers") from None


def check_vocabulary(study: Study, where: str, policy: ModelFacts, other: ModelFacts) -> None:
    """Log-probabilities of two policies are compared token by token, or answer by answer as the policy's own tokens.

    Raises:
        W2SError: their vocabularies differ, or they write the study's pairs as different tokens.
    """
    if policy.vocabulary_hash != other.vocabulary_hash:
        raise W2SError(
            f"{where}: the models {other.spec.path} and {policy.spec.path} have different vocabularies, so their "
            "log-probabilities are not of the same tokens; name a model with the policy's own tokenizer"
        )
    check_written_alike(study, where, policy, other)


def check_written_alike(study: Study, where: str, policy: ModelFacts, other: ModelFacts) -> None:
    """Models of one vocabulary may end texts in another token, begin them in one, or have another chat template.

    Raises:
        W2SError: they write the first pairs as different tokens.
    """
    if policy.tokenizer_hash == other.tokenizer_hash or None in (policy.folder, other.folder):
        return
    from w2s_pref.data.tokens import tokenize
    from w2s_pref.models.load import spec_tokenizer

    frame = study.rows["test"].frame.head(COMPARED)
    one, two = (tokenize(frame, spec_tokenizer(each.spec, study.base), None, starts=True) for each in (policy, other))
    if any(getattr(one, name) != getattr(two, name) for name in ("a_ids", "b_ids", "a_starts", "b_starts")):
        raise W2SError(
            f"{where}: the models {other.spec.path} and {policy.spec.path} have one vocabulary and write the same "
            "pairs as different tokens (another chat template, or another token at the beginning or end of a text), so "
            "their log-probabilities are not of the same tokens; name a model with the policy's own tokenizer files"
        )


def check_supervisor(source: Scored) -> None:
    """Scores of pairs by a supervisor that can reward any answer.

    Raises:
        W2SError: it is a policy whose score is not its implicit reward.
    """
    if isinstance(source, PolicyScoreStage) and source.reference is None:
        raise W2SError(
            f"{source.name}: answers are rewarded by a reward model or by a policy's implicit reward; "
            f"{source.form} is neither. Set score: implicit_reward for that method, or take another supervisor"
        )


def check_oracle(study: Study, name: str) -> None:
    """An oracle is there.

    Raises:
        W2SError: no such name, file, module or function.
    """
    from w2s_pref.stages import judging

    with _said_of("speech.oracle"):
        judging.find_oracle(name, study.base)


@contextmanager
def _said_of(where: str) -> Iterator[None]:
    """Every sentence names the key of the recipe."""
    try:
        yield
    except W2SError as error:
        raise W2SError([f"{where}: {text}" for text in error.problems]) from error
