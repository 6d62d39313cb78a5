"""How a node of a chain is trained: reward models and policies, under every conflict setting."""

from __future__ import annotations

from typing import Any, Literal, cast

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Stage
from w2s_pref.labels.make import LabelConfig
from w2s_pref.stages.decoding import DecodedPolicy
from w2s_pref.stages.labels import LabelStage, Part, Scored
from w2s_pref.stages.members import MemberLabels, Raven
from w2s_pref.stages.model_stage import StartStage
from w2s_pref.stages.online import OnlinePolicyStage, Reward
from w2s_pref.stages.policies import PairPolicyStage, PolicyStage
from w2s_pref.stages.pooled import PooledScores
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.stages.rows import Rows
from w2s_pref.stages.stop import Stop
from w2s_pref.stages.token_rewards import TokenRewards
from w2s_pref.studies.preferences.check import (
    check_answers,
    check_margin,
    check_supervisor,
    check_vocabulary,
    check_written_alike,
)
from w2s_pref.studies.preferences.reward_code import reward_code
from w2s_pref.studies.preferences.rounds import add_rounds
from w2s_pref.studies.preferences.starts import hardened, start_of, texts_first
from w2s_pref.studies.preferences.study import Study
from w2s_pref.studies.preferences.task import (
    Task,
    conflict_parts,
    loss_terms,
    pair_arguments,
    reference_of,
    reward_arguments,
    scaled,
)
from w2s_pref.studies.preferences.watch import watch_of
from w2s_pref.training.arguments import DEFAULTS, ONLINE_DEFAULTS, keyed, only
from w2s_pref.training.fields import Kind
from w2s_pref.training.methods import Method, Node


def train(study: Study, name: str, node: Node, task: Task, seed: int) -> None:
    """Enter the training of one node, and everything that it needs, into the study."""
    found = study.recipe.method(node)
    if found.decoding:
        return study.add_decoded(name, node, _decoded(study, name, node, task, seed, found), seed)
    if found.mutual:
        return add_rounds(study, name, node, task, seed)
    if not found.policy:
        stage: TrainStage | PolicyStage = reward_model(study, name, node, task, seed)
    elif found.online:
        stage = _online(study, name, node, task, seed, found)
    else:
        stage = _pairs(study, name, node, task, seed, found)
    study.add_trained(name, node, stage, seed)


def ceiling(study: Study, node: Node, seed: int) -> str:
    """The node trained on ground truth; its name."""
    name = f"ceiling/{node}"
    if (name, seed) not in study.trained:
        node = node._replace(method=study.recipe.method(node).on_truth)
        train(study, name, node, Task(Part(study.rows["gt"], "truth")), seed)
    return name


def gold_conflict(study: Study, model: str, seed: int) -> str:
    """The reward model of the conflicting objective, trained on its ground truth; its name."""
    name = f"gold-conflict/{model}"
    if (name, seed) not in study.trained:
        train(study, name, Node(model), Task(Part(study.rows["conflict"], "truth")), seed)
    return name


def reward_model(study: Study, name: str, node: Node, task: Task, seed: int) -> TrainStage:
    """The training of a reward model; it is not entered into the study."""
    recipe, model, found = study.recipe, node.model, study.recipe.method(node)
    arguments = scaled(reward_arguments(recipe, node), task)
    parts = () if task.conflict == "base" else conflict_parts(study, task, seed)
    return TrainStage(
        f"{name} · seed {seed}",
        study.models[model],
        parts,
        seed,
        arguments,
        keyed(arguments),
        loss_terms(study, task, found),
        study.tokens,
        recipe.conflict.match_updates,
        watch_of(study, name, node, seed, None) if parts else None,
        _stop(study, node, task, seed) if parts else None,
        _raven(study, node, task, seed) if parts else None,
        texts_first(study, name, node, task, seed) if parts and found.pre_stage else None,
    )


def _stop(
    study: Study, node: Node, task: Task, seed: int, reference: StartStage | PolicyStage | None = None
) -> Stop | None:
    """When the training of a student ends; None: at its end, as ceilings do.

    Args:
        reference: of a policy whose score has one.
    """
    found = study.recipe.method(node)
    if found.config.patience is None or not task.student:
        return None
    labels, held = _held_out(study, task.supervisor, node, seed), study.rows["calibration"]
    implicit = reference is not None and found.score == "implicit_reward"
    logprobs = study.logprobs(reference, held, f"reference of {node}", seed) if implicit and reference else None
    return Stop(labels, found.config.patience, found.score if found.policy else "reward_model", found.beta, logprobs)


def _held_out(study: Study, supervisor: str, node: Node, seed: int) -> LabelStage:
    """The supervisor's labels of the calibration pairs, all of them, as probabilities."""
    where = f"methods.{node.method}.patience: the training ends by labels of pairs that are not trained on"
    study.check_calibration(where)
    scores = study.scored(supervisor, study.rows["calibration"], seed)
    return LabelStage(f"held out by {supervisor} · seed {seed}", scores, LabelConfig())


def _raven(study: Study, node: Node, task: Task, seed: int) -> Raven | None:
    """How the student weighs its supervisors; None where their combination says it."""
    config = study.recipe.method(node).config.raven
    if config is None or not task.student:
        return None
    pooled = study.scored(task.supervisor, task.target.rows, seed)
    assert isinstance(pooled, PooledScores)
    return Raven(MemberLabels(f"each of {pooled.name}", pooled), config.rate, config.easy)


def _pairs(study: Study, name: str, node: Node, task: Task, seed: int, found: Method) -> PairPolicyStage:
    """SFT, DPO, SimPO, IPO, WSPO, SePO, or a user's margin."""
    needs, code = found.algorithm in {"dpo", "ipo", "wspo"}, ""
    if not found.built_in:
        check_margin(study, found)
        from w2s_pref.losses import margins  # only here a plan imports torch, with the user's file

        needs, code = (
            margins.needs_reference(found.algorithm, study.base),
            margins.MARGINS.code(found.algorithm, study.base),
        )
    start = start_of(study, name, node, task, seed, found)
    parts = conflict_parts(study, task, seed)
    objective: dict[str, Any] = {"name": found.algorithm, **loss_terms(study, task, found)}
    if found.by_token:
        objective |= {"beta": found.beta} if needs else {"share": found.config.share}
    elif found.algorithm != "sft":
        objective |= {"beta": found.beta, "gamma": found.gamma}
    if task.conflict == "explicit":
        objective["conflict"] = found.config.explicit
    if found.config.options:
        objective["options"] = found.config.options
    where = f"reference of {name}"
    other = reference_of(study, node, seed, found)
    read = tuple(study.logprobs(other or start, part.rows, where, seed, found.by_token) for part in parts)
    references = read if needs else ()
    rewards = _token_rewards(study, node, task, seed, parts, references) if found.by_token else None
    arguments = scaled(pair_arguments(study.recipe, node, found.config.training), task)
    watch = watch_of(study, name, node, seed, other or start)
    title = f"{name} · seed {seed}"
    return PairPolicyStage(
        title, start, other, seed, arguments, keyed(arguments), study.tokens, parts, references, objective, code,
        study.recipe.conflict.match_updates, _stop(study, node, task, seed, other or start),
        _raven(study, node, task, seed), rewards, watch=watch,
    )  # fmt: skip


def _token_rewards(
    study: Study, node: Node, task: Task, seed: int, parts: tuple[Part, ...], own: tuple[Stage, ...]
) -> TokenRewards:
    """What the supervising policy says of every answer token, over its reference."""
    tuned = study.trained[task.supervisor, seed]
    assert isinstance(tuned, PolicyStage)  # the recipe says so
    check_vocabulary(study, f"{task.supervisor} as the supervisor of {node}", study.models[node.model], tuned.model)

    def each(policy: StartStage | PolicyStage, name: str) -> tuple[Stage, ...]:
        return tuple(study.logprobs(policy, part.rows, name, seed, each=True) for part in parts)

    return TokenRewards(each(tuned, task.supervisor), each(tuned.reference, f"reference of {task.supervisor}"), own)


def _online(study: Study, name: str, node: Node, task: Task, seed: int, found: Method) -> OnlinePolicyStage:
    """PPO, RLOO, GRPO: prompts of the target pairs, rewards by the supervisor."""
    check_answers(study, node.model, found)
    if task.conflict in study.recipe.conflict.own:
        raise W2SError(
            f"conflict.settings: {task.conflict} acts on labelled pairs, but {found.algorithm} learns from rewards of "
            "its own answers; take it out, or give this student another method"
        )
    start = start_of(study, name, node, task, seed, found)
    filtered = study.recipe.labels.filter != "none" and isinstance(task.target.labels, LabelStage)
    labels = hardened(task.target.labels) if filtered else None
    arguments, key = _online_arguments(found)
    other = reference_of(study, node, seed, found)
    return OnlinePolicyStage(
        f"{name} · seed {seed}",
        start,
        other,
        seed,
        arguments,
        key,
        study.tokens,
        cast(Literal["ppo", "rloo", "grpo"], found.algorithm),
        task.target.rows,
        labels if isinstance(labels, LabelStage) else None,
        _rewards(study, node, task, seed, found),
        watch=watch_of(study, name, node, seed, other or start),
    )


def _decoded(study: Study, name: str, node: Node, task: Task, seed: int, found: Method) -> DecodedPolicy:
    """Search and emulated fine-tuning: the model as it is, guided by the policy that supervises."""
    config, tuned = found.config, study.trained[task.supervisor, seed]
    assert isinstance(tuned, PolicyStage)
    strong = start_of(study, name, node, task, seed, found)
    if found.algorithm == "search":
        settings: dict[str, Any] = {"beams": config.beams, "successors": config.successors, "chunk": config.chunk}
        return DecodedPolicy(f"{name} · seed {seed}", strong, tuned, settings, study.tokens)
    if strong.model.vocabulary_hash != tuned.model.vocabulary_hash:
        raise W2SError(
            f"arms: {node} mixes the tokens of {strong.model.spec.path} with those of {tuned.model.spec.path}, which "
            "have different vocabularies; take models with one tokenizer, or algorithm: search, which goes by the text"
        )
    check_written_alike(study, f"arms: {node}", strong.model, tuned.model)
    return DecodedPolicy(f"{name} · seed {seed}", strong, tuned, {"beta": found.beta}, study.tokens)


def _online_arguments(found: Method) -> tuple[dict[str, Any], dict[str, Any]]:
    if found.family == "ppo":
        from w2s_pref.training.ppo.settings import PPOSettings

        settings = PPOSettings.model_validate({**found.config.training, "kl_coef": found.beta})
        return settings.model_dump(), settings.keyed()
    kind: Kind = "rloo" if found.algorithm == "rloo" else "grpo"
    arguments = {**only(DEFAULTS, kind), **ONLINE_DEFAULTS, **found.config.training, "beta": found.beta}
    return arguments, keyed(arguments)


def _rewards(study: Study, node: Node, task: Task, seed: int, found: Method) -> tuple[Reward, ...]:
    """The supervisor's reward, and what conflicts with it.

    none: the supervisor alone. implicit: plus the helpfulness of a reward model of the student's own size, trained on
    that objective's ground truth. explicit: plus pay for answers that the target's ground truth says are bad. placebo:
    plus a fair coin for every text. gold: as implicit, with the target's ground truth in the supervisor's place.
    """
    rows, weight = task.target.rows, found.config.conflict_weight
    setting = task.conflict
    gold = not task.student or found.config.reward == "gold" or setting == "gold"
    if gold or setting == "explicit":
        truth = study.scored(ceiling(study, Node(node.model), seed), rows, seed)
    if gold:
        first = Reward("target", truth)
    elif found.config.reward == "supervisor":
        source = study.scored(task.supervisor, rows, seed)
        check_supervisor(source)
        first = Reward("target", source)
    else:
        first = Reward("target", found.config.reward, code=reward_code(study, found))
    if setting == "explicit":
        return (first, Reward("paid", truth, study.recipe.conflict.alpha))
    if setting == "placebo":
        return (first, Reward("conflict", "random", weight))
    if setting in {"implicit", "gold"}:
        return (first, Reward("conflict", _helpful(study, node.model, rows, seed), weight))
    return (first,)


def _helpful(study: Study, model: str, rows: Rows, seed: int) -> Scored:
    if "conflict" not in study.rows:
        raise W2SError("data.splits: conflict must have rows, because conflict.settings needs its reward")
    return study.scored(gold_conflict(study, model, seed), rows, seed)
