"""What policies say: which models answer which test prompts, and by whom the answers are judged."""

from __future__ import annotations

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.data.sources import Source
from w2s_pref.stages.answers import JudgeStage, SampleStage
from w2s_pref.stages.policies import PolicyScoreStage, PolicyStage
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.stages.rows import Rows
from w2s_pref.stages.start import StartStage
from w2s_pref.studies.preferences.check import check_oracle, check_room
from w2s_pref.studies.preferences.nodes import Task, ceiling, gold_conflict, train
from w2s_pref.studies.preferences.study import TESTS, Study
from w2s_pref.training.methods import Node


def base_scores(study: Study, node: Node, task: Task, seed: int) -> None:
    """Scores of the untrained student: a new head, or the policy's start by its mean log-probability."""
    name = f"base/{node}"
    if not study.recipe.method(node).policy:
        train(study, name, node, task, seed)
        return
    start = StartStage(f"{node.model} as it is", study.models[node.model], seed)
    for split in TESTS:
        if split in study.rows:
            rows = study.rows[split]
            logprobs = study.logprobs(start, rows, name, seed)
            title = f"{name} on {split} · seed {seed}"
            study.scores[name, seed, split] = PolicyScoreStage(title, rows, logprobs, None, "mean_logprob", 1.0)


def add_speech(study: Study) -> None:
    """Answers of every policy and of its reference to the same test prompts, judged alike.

    The gold judges are reward models of one seed, so that every policy meets the same judges.
    """
    names = [name for name, node in study.nodes.items() if study.recipe.method(node).policy]
    prompts = _prompts(study)
    if not names or not len(prompts):
        return
    for model in dict.fromkeys(study.nodes[name].model for name in names):
        check_room(study, model, study.recipe.speech.max_new_tokens, "speech.max_new_tokens")
    study.oracle = _oracle(study)
    first = study.recipe.seeds[0]
    gold = _gold(study, first)
    for seed in study.recipe.seeds:
        for name in names:
            stage = study.trained[name, seed]
            assert isinstance(stage, PolicyStage)
            reference = f"reference/{_family(study, name)}"
            study.references[name] = reference
            study.judged[name, seed] = _judged(study, name, stage, stage.reference, prompts, seed, gold)
            study.judged[reference, seed] = _judged(
                study, reference, stage.reference, stage.reference, prompts, seed, gold
            )


def _family(study: Study, name: str) -> str:
    """What shares one reference: the conflict settings of one arm."""
    arm, _, conflict = name.rpartition("/")
    return arm if conflict in study.recipe.conflict.names and arm in study.chains else name


def _prompts(study: Study) -> Rows:
    """Test pairs with different prompts, drawn by their hash: each stands for its prompt."""
    frame = study.rows["test"].frame
    order = frame["id"].map(lambda identity: digest("speech", identity)).sort_values().index
    drawn = frame.loc[order].drop_duplicates("group").head(study.recipe.speech.prompts)
    return Rows("test prompts", drawn.reset_index(drop=True))


def _gold(study: Study, seed: int) -> dict[str, TrainStage]:
    model = study.recipe.speech.gold or next(iter(study.chains.values()))[-1].model
    names = {"target": ceiling(study, Node(model), seed)}
    if "conflict" in study.rows:
        names["conflict"] = gold_conflict(study, model, seed)
    found = {}
    for role, name in names.items():
        stage = study.trained[name, seed]
        assert isinstance(stage, TrainStage)
        found[role] = stage
    study.anchor = study.scored(names["target"], study.rows["test"], seed)
    return found


def _oracle(study: Study) -> str | None:
    """The oracle that reads answers: the recipe's, or the testbed's own where the pairs come from it."""
    target = study.recipe.data.target
    given = study.recipe.speech.oracle
    testbed = isinstance(target, Source) and target.source == "testbed"
    if given == "testbed" and not testbed:
        raise W2SError("speech.oracle: testbed reads answers to the testbed's prompts only; give your own function")
    if given and given != "testbed":
        check_oracle(study, given)
    return given or ("testbed" if testbed else None)


def _judged(
    study: Study,
    name: str,
    policy: StartStage | PolicyStage,
    reference: StartStage | PolicyStage,
    prompts: Rows,
    seed: int,
    gold: dict[str, TrainStage],
) -> JudgeStage:
    settings = study.recipe.speech.model_dump(include={"samples", "temperature", "max_new_tokens", "batch_size"})
    samples = SampleStage(f"{name} answers · seed {seed}", policy, prompts, settings, seed, study.tokens)
    code = study.code(study.oracle) if study.oracle else ""
    title = f"{name} judged · seed {seed}"
    return JudgeStage(title, samples, reference, gold, study.oracle, study.helpful_first, code)
