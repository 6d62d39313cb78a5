"""Where trainings start: the model as it is, or after a fine-tuning that all conflict settings of an arm share."""

from __future__ import annotations

from w2s_pref.engine.stage import Stage
from w2s_pref.stages.labels import LabelStage, Part
from w2s_pref.stages.model_stage import StartStage, check_language_model, check_texts_first
from w2s_pref.stages.policies import PairPolicyStage, PolicyStage
from w2s_pref.studies.preferences.study import Study
from w2s_pref.studies.preferences.task import Task, pair_arguments
from w2s_pref.training.arguments import keyed
from w2s_pref.training.methods import Method, Node


def start_of(study: Study, name: str, node: Node, task: Task, seed: int, found: Method) -> StartStage | PolicyStage:
    """Where a policy starts: the model as it is, or fine-tuned on the preferred answers. Its reference, too.

    The fine-tuning is the same for every conflict setting, so that all of them share one reference.
    """
    model = study.models[node.model]
    check_language_model(model)
    base = StartStage(f"{node.model} as it is", model, seed)
    if not found.pre_stage:
        return base
    part = Part(task.target.rows, hardened(task.target.labels))
    # The method's own ``training`` is not for this stage: it is another training, of pairs and with another loss.
    arguments = pair_arguments(study.recipe, node, found.config.sft)
    return PairPolicyStage(
        f"sft before {name} · seed {seed}", base, None, seed, arguments, keyed(arguments), study.tokens, (part,), (),
        {"name": "sft"}, match_updates=study.recipe.conflict.match_updates,
    )  # fmt: skip


def hardened(labels: Stage | str) -> Stage | str:
    """Probabilities as 0 and 1: what "the preferred answer" means. Of a user's labels it is read at ½ as they are."""
    if not isinstance(labels, LabelStage) or labels.config.form != "soft":
        return labels
    config = labels.config.model_copy(update={"form": "hard"})
    second = hardened(labels.second) if labels.second is not None else None
    assert second is None or isinstance(second, LabelStage)
    return LabelStage(f"{labels.name}, hard", labels.scores, config, labels.calibration, labels.code, second)


def texts_first(study: Study, name: str, node: Node, task: Task, seed: int) -> PairPolicyStage:
    """Generative fine-tuning before a reward model: language modelling on both answers of its pairs, labels unread.

    It is that of Burns et al. 2023 (arXiv 2312.09390): students and ceilings have it, and every conflict setting shares
    one. A coin says which answer comes in which half; every answer comes once an epoch.
    """
    check_texts_first(study.models[node.model], f"methods.{node.method}.pre_stage")
    arguments = pair_arguments(study.recipe, node, study.recipe.method(node).config.sft)
    halves = tuple(Part(task.target.rows, "random", reversed=turned) for turned in (False, True))
    start = StartStage(f"{node.model} as it is", study.models[node.model], seed)
    return PairPolicyStage(
        f"texts before {name} · seed {seed}", start, None, seed, arguments, keyed(arguments), study.tokens, halves, (),
        {"name": "sft"}, match_updates=False,
    )  # fmt: skip
