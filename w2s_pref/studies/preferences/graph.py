"""Recipe and data → the graph of stages of the whole study: chains of trainings, and what their policies say."""

from __future__ import annotations

from pathlib import Path

from w2s_pref.core.errors import W2SError
from w2s_pref.core.references import short_name
from w2s_pref.core.tables import digest
from w2s_pref.data.config import Prepared
from w2s_pref.data.sources import Source
from w2s_pref.losses.conflict import MIXED
from w2s_pref.models.info import ModelFacts, control_tokens
from w2s_pref.models.shapes import backbone_parameters
from w2s_pref.stages.answers import BestOfStage, JudgeStage, SampleStage
from w2s_pref.stages.decoding import DecodedPolicy
from w2s_pref.stages.given import is_given
from w2s_pref.stages.labels import Part
from w2s_pref.stages.model_stage import StartStage
from w2s_pref.stages.policies import PolicyScoreStage, PolicyStage
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.stages.rows import Rows, one_a_prompt, slices
from w2s_pref.studies.preferences.check import check_oracle, check_room
from w2s_pref.studies.preferences.judges import add_judge
from w2s_pref.studies.preferences.nodes import ceiling, gold_conflict, train
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.preferences.rounds import ROUND
from w2s_pref.studies.preferences.study import TESTS, Study
from w2s_pref.studies.preferences.task import Task, passes
from w2s_pref.training.methods import Node


def build_study(recipe: Recipe, prepared: Prepared, base: Path, models: dict[str, ModelFacts]) -> Study:
    """The whole graph. Reads model files' headers and hashes; loads no weights.

    Raises:
        W2SError: a model that does not exist, or a recipe whose parts do not fit its data.
    """
    control = control_tokens(models.values()) if recipe.data.text_stays_text else None
    rows = {name: Rows(name, frame, control) for name, frame in prepared.splits.items() if len(frame)}
    _check_splits(recipe, rows)
    study = Study(recipe, base, models, rows)
    if recipe.bootstrap.inputs == "split":
        rows.update(slices(rows["w2s"], max(len(chain) for chain in study.chains.values()) - 1))
    factors = _compute_factors(study) if recipe.bootstrap.match_compute else {}
    used = list(dict.fromkeys(node for chain in study.chains.values() for node in chain))
    for seed in recipe.seeds:
        for node in used:
            names = tuple(_supervisor(study, each, seed) for each in node.each)
            if node.members:
                study.add_pool(f"ceiling/{node}", node, names, seed)
        for name in recipe.analysis.placebos():
            ceiling(study, Node(name), seed)
    for seed in recipe.seeds:
        for arm, chain in study.chains.items():
            _arm(study, arm, chain, seed, factors.get(arm, 1.0))
    add_speech(study)
    return study


def _supervisor(study: Study, node: Node, seed: int) -> str:
    """The node trained on ground truth, or the labels or the judge that stand in its place; its name."""
    if node.model in study.models:
        return ceiling(study, node, seed)
    if is_given(node.model):
        study.add_given(node.model, seed)
    else:
        add_judge(study, node.model, seed)
    return f"ceiling/{node.model}"


def _check_splits(recipe: Recipe, rows: dict[str, Rows]) -> None:
    missing = [name for name in ("gt", "w2s", "test") if name not in rows]
    if missing:
        raise W2SError(f"data.splits: {', '.join(missing)} must have rows; every study needs gt, w2s and test")
    if MIXED & set(recipe.conflict.settings) and "conflict" not in rows:
        raise W2SError("data.splits: conflict must have rows, because conflict.settings mixes them in")
    if recipe.monitor is not None and "probe" not in rows:
        raise W2SError("monitor: give data.splits.probe a number of rows, at least 30: the pairs it looks at")


def _hop_rows(study: Study, hop: int, hops: int) -> Rows:
    """Pairs that hop ``hop`` (1 … hops) of a chain trains on."""
    mode = study.recipe.bootstrap.inputs
    if mode == "split":
        longest = max(len(chain) for chain in study.chains.values()) - 1
        return study.rows[f"w2s/{longest - hops + hop}"]
    if mode == "paper" and hop % 2 == 0:
        return study.rows["gt"]
    return study.rows["w2s"]


def _arm(study: Study, arm: str, chain: list[Node], seed: int, scale: float) -> None:
    """All hops of one chain: intermediates without conflict, then the student under every conflict setting."""
    hops = len(chain) - 1
    supervisor = f"ceiling/{chain[0]}"
    for hop in range(1, hops + 1):
        name, node = f"{arm}/hop{hop}", chain[hop]
        target = _labelled(study, name, node, _hop_rows(study, hop, hops), supervisor, seed)
        if hop < hops:
            members = [f"{name}.{number}" for number in range(1, 1 + len(node.members))]
            for each, title in zip(node.each, members or [name], strict=True):
                train(study, title, each, Task(target, supervisor), seed)
            if members:
                study.add_pool(name, node, tuple(members), seed)
            supervisor = name
    for conflict in study.recipe.conflict.settings:
        if conflict == "base":
            base_scores(study, node, Task(target, supervisor, "base"), seed)
            continue
        train(study, f"{arm}/{short_name(conflict)}", node, Task(target, supervisor, conflict, scale), seed)


def _labelled(study: Study, name: str, node: Node, rows: Rows, supervisor: str, seed: int) -> Part:
    """What the model of one hop is trained on: pairs and the supervisor's labels.

    In two stages a first student learns the labels that the supervisor is sure of, and labels the pairs left out.
    """
    config = study.recipe.label_config(node)
    second = None
    if config.two_stage:
        first = f"{name}.first"
        sure = study.label(f"{name}.sure", supervisor, rows, seed, config)
        train(study, first, node, Task(Part(rows, sure), supervisor), seed)
        second = study.label(first, first, rows, seed, config)
    return Part(rows, study.label(name, supervisor, rows, seed, config, second))


def _compute_factors(study: Study) -> dict[str, float]:
    """How much longer each arm's last training must be so that all arms between the same two models cost the same.

    Cost of a hop = parameters outside the embedding table x pairs x how often they are read; tokens per pair cancel
    out. What comes before the last training counts, but is not lengthened.
    """
    costs: dict[str, list[float]] = {}
    last: dict[str, float] = {}
    for arm, chain in study.chains.items():
        hops = len(chain) - 1
        costs[arm] = []
        for hop, place in enumerate(chain[1:], 1):
            trainings = 2 if study.recipe.label_config(place).two_stage else 1
            pairs = len(_hop_rows(study, hop, hops))
            own, before = (sum(part) * pairs for part in zip(*(_work(study, each) for each in place.each), strict=True))
            costs[arm] += trainings * [own + before]
            last[arm] = own
    factors = {}
    ends = {arm: study.recipe.ends(arm) for arm in study.chains}
    for arm in study.chains:
        rivals = [sum(costs[other]) for other in study.chains if ends[other] == ends[arm]]
        factors[arm] = 1 + (max(rivals) - sum(costs[arm])) / last[arm]
    return factors


def _work(study: Study, node: Node) -> tuple[float, float]:
    """Parameters outside the embedding table x how often a pair is read: by the training, and by what precedes it."""
    size = backbone_parameters(study.models[node.model])
    if not size:
        raise W2SError("bootstrap.match_compute needs the size of every model; one is not available here")
    own, before = passes(study.recipe, node)
    return size * own, size * before


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
    names = [name for name in names if not _said_already(study, name)]
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
            stage = study.decoded.get((name, seed)) or study.trained[name, seed]
            assert isinstance(stage, PolicyStage | DecodedPolicy)
            reference = f"reference/{_family(study, name)}"
            study.references[name] = reference
            said = _answers(study, name, stage, prompts, seed)
            plain = _answers(study, reference, stage.reference, prompts, seed)
            study.judged[name, seed] = _judged(study, name, said, stage.reference, gold)
            study.judged[reference, seed] = _judged(study, reference, plain, stage.reference, gold)
            if isinstance(stage, DecodedPolicy) and stage.searches:
                rival = study.best_of[name] = f"best-of-n/{_family(study, name)}"
                study.references[rival] = reference
                given = (said.prompts, said.settings, said.seed, said.tokens)
                title = f"{rival} answers · seed {seed}"
                best = BestOfStage(title, stage, *given, search=said, plain=plain)
                study.judged[rival, seed] = _judged(study, rival, best, stage.reference, gold)


def _said_already(study: Study, name: str) -> bool:
    """True of a ceiling that is another method's, where that one speaks itself."""
    own = f"ceiling/{study.nodes[name]}"
    return name.startswith("ceiling/") and name != own and own in study.nodes


def _family(study: Study, name: str) -> str:
    """What shares one reference: the conflict settings of one arm, and a student's rounds."""
    arm, _, conflict = name.rpartition("/")
    conflict = conflict.partition(ROUND)[0]
    return arm if conflict in study.recipe.conflict.names and arm in study.chains else name


def _prompts(study: Study) -> Rows:
    """Test pairs with different prompts, drawn by their hash: each stands for its prompt."""
    frame = study.rows["test"].frame
    order = frame["id"].map(lambda identity: digest("speech", identity)).sort_values().index
    drawn = one_a_prompt(frame.loc[order]).head(study.recipe.speech.prompts)
    return Rows("test prompts", drawn.reset_index(drop=True), study.rows["test"].control)


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


def _answers(
    study: Study, name: str, policy: StartStage | PolicyStage | DecodedPolicy, prompts: Rows, seed: int
) -> SampleStage:
    settings = study.recipe.speech.model_dump(include={"samples", "temperature", "max_new_tokens", "batch_size"})
    return SampleStage(f"{name} answers · seed {seed}", policy, prompts, settings, seed, study.tokens)


def _judged(
    study: Study,
    name: str,
    samples: SampleStage,
    reference: StartStage | PolicyStage,
    gold: dict[str, TrainStage],
) -> JudgeStage:
    from w2s_pref.stages.judging import ORACLES

    code = ORACLES.code(study.oracle, study.base) if study.oracle else ""
    title = f"{name} judged · seed {samples.seed}"
    return JudgeStage(title, samples, reference, gold, study.oracle, study.helpful_first, code)
