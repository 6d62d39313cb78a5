"""MACPO: who learns from whom, and what decides a round."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoConfig

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Stage
from w2s_pref.stages.model_stage import StartStage
from w2s_pref.stages.policies import PairPolicyStage
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.preferences.study import Study
from w2s_pref.studies.run import open_recipe

SMALL = [
    "seeds=[0]",
    "speech={prompts: 12, samples: 2, max_new_tokens: 6}",
    "conflict.settings=[none]",
    "arms={dpo: [weak@dpo, strong@dpo], macpo: [weak@dpo, strong@macpo]}",
]


def opened(folder: Path, **method: object) -> Study:
    methods = json.dumps({"macpo": {"rounds": 3, **method}})
    return open_recipe(folder / "tiny.yaml", [*SMALL, f"methods={methods}"]).study


@pytest.fixture(scope="module")
def graph(original: Path) -> Study:
    """The graph of the tiny study with the defaults of the method."""
    return opened(original)


def policies(graph: Study) -> dict[str, PairPolicyStage]:
    stages = [stage for stage in all_stages(graph) if isinstance(stage, PairPolicyStage)]
    return {stage.name.removesuffix(" · seed 0"): stage for stage in stages}


def writers(stage: PairPolicyStage) -> tuple[Stage, Stage]:
    """Who wrote the positive and the negative answers that a policy learns from."""
    candidates = stage.parts[0].labels.candidates
    return candidates.positive.policy, candidates.negative.policy


def test_every_round_starts_from_the_last_and_learns_what_the_other_side_wrote(graph: Study) -> None:
    found, beside = policies(graph), "ceiling/weak@dpo beside macpo"
    weak = [found["ceiling/weak@dpo"], found[f"{beside} round 1"], found[f"{beside} round 2"]]
    strong = [found[f"macpo/none round {number}"] for number in range(3)] + [found["macpo/none"]]
    assert f"{beside} round 3" not in found  # it would teach nobody
    negative = (found[f"{beside} negative"], found["macpo/none negative"])
    base = strong[0].start
    assert isinstance(base, StartStage)
    assert writers(strong[0]) == (weak[0], negative[0])
    assert (negative[0].start, negative[1].start) == (weak[0], strong[0])
    for number in (1, 2, 3):
        own, other = strong[number - 1], weak[number - 1]
        assert strong[number].start.key == own.key
        assert strong[number].inputs["start"].key == own.key
        assert [each.key for each in writers(strong[number])] == [other.key, negative[1].key]
        assert strong[number].parts[0].labels.logprobs.policy.key == own.key  # perplexity under who learns it
        assert strong[number].reference.key == strong[number].references[0].policy.key == base.key
        assert graph.nodes[strong[number].name.removesuffix(" · seed 0")].model == "strong"
    for number in (1, 2):
        assert weak[number].start.key == weak[number - 1].key
        assert [each.key for each in writers(weak[number])] == [strong[number - 1].key, negative[0].key]
    assert graph.rounds == {"macpo": {**{f"macpo/none round {n}": n for n in range(3)}, "macpo/none": 3}}


def test_ground_truth_is_read_at_the_weak_end_alone(graph: Study) -> None:
    """Of all trainings of the method only the weak negative agent reads it: the ceiling's own pairs, the other way."""
    found = {name: stage for name, stage in policies(graph).items() if "macpo" in name}
    reads = {name for name, stage in found.items() if any(part["truth"] for part in stage.payload["parts"])}
    assert reads == {"ceiling/weak@dpo beside macpo negative"}
    part = found["ceiling/weak@dpo beside macpo negative"].payload["parts"][0]
    assert part == {**policies(graph)["ceiling/weak@dpo"].payload["parts"][0], "reversed": True}


def said(stage: PairPolicyStage) -> tuple[float, float]:
    return stage.arguments["num_train_epochs"], stage.arguments["learning_rate"]


ROUNDS = {
    "macpo/none",
    *(f"{side} round {n}" for n in (1, 2) for side in ("macpo/none", "ceiling/weak@dpo beside macpo")),
}
AGENTS = {"macpo/none round 0", "macpo/none negative"}


def changed(before: Study, after: Study) -> set[str]:
    one, other = policies(before), policies(after)
    return {name for name in one if "macpo" in name and one[name].key != other[name].key}


def test_the_numbers_are_those_of_the_authors_unless_the_method_says_others(graph: Study, original: Path) -> None:
    plain, weak = policies(graph), "ceiling/weak@dpo beside macpo negative"
    assert said(plain["macpo/none round 0"]) == (3, 5e-5)
    assert said(plain["macpo/none negative"]) == said(plain[weak]) == (1, 5e-5)
    assert said(plain["macpo/none"]) == (1, 1e-5)
    assert plain["macpo/none"].objective == {"name": "dpo", "beta": 0.1, "gamma": 0.0, "sft_weight": 0.2}
    other = opened(original, sft={"learning_rate": 1e-3}, negative={"num_train_epochs": 2})
    found = policies(other)
    assert said(found["macpo/none round 0"]) == (3, 1e-3)
    assert said(found["macpo/none negative"]) == (2, 1e-3)
    assert changed(graph, other) == ROUNDS | AGENTS | {weak}


def test_without_an_sft_weight_a_round_is_dpo(graph: Study, original: Path) -> None:
    other = opened(original, sft_weight=0.0)
    assert policies(other)["macpo/none"].objective == policies(other)["dpo/none"].objective
    assert changed(graph, other) == ROUNDS


def test_a_round_more_keeps_those_before_and_other_candidates_are_other_pairs(graph: Study, original: Path) -> None:
    shorter = opened(original, rounds=2, keep=1.0)
    assert policies(shorter)["macpo/none"].key == policies(graph)["macpo/none round 2"].key
    assert changed(graph, opened(original, candidates=2, keep=0.5)) == ROUNDS | AGENTS


def test_what_cannot_be_sampled_is_refused_before_anything_is_built(study: Path) -> None:
    with pytest.raises(W2SError, match="writes the same answer 3 times; set candidates: 1"):
        open_recipe(study / "tiny.yaml", [*SMALL, "speech={temperature: 0.0, samples: 1, max_new_tokens: 6}"])
    with pytest.raises(W2SError, match="leaves no room for a prompt"):
        open_recipe(study / "tiny.yaml", [*SMALL, "speech={prompts: 0, max_new_tokens: 400}"])
    config = AutoConfig.from_pretrained("small")
    config.architectures = ["BertForMaskedLM"]
    config.save_pretrained("small")
    with pytest.raises(W2SError, match="does not write from left to right"):
        opened(study)
