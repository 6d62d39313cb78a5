"""Answers that spell a control token: counted where they are judged, and never taken for judged the other way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from conftest import make_model, make_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from w2s_pref.core.errors import W2SError
from w2s_pref.data.control import text_stays_text
from w2s_pref.models.info import ModelFacts
from w2s_pref.models.scoring import logprob_ids
from w2s_pref.models.spec import ModelSpec
from w2s_pref.parallel.world import World
from w2s_pref.stages.answers import JudgeStage, SampleStage, _under_reference, judged_table
from w2s_pref.stages.model_stage import StartStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.preferences import analyze


def judged(texts: list[str], tmp_path: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """What the stage says about itself and its table, of answers to one prompt."""
    prompts = pd.DataFrame({"id": ["p"], "group": ["g"], "form": ["text"], "prompt": ["w1 w2"]})
    samples = pd.DataFrame({"row": 0, "sample": range(len(texts)), "text": texts})
    samples = samples.assign(tokens=3, ended=True, logp=-1.0, ids=[[1]] * len(texts), prompt_tokens=2)
    policy = SimpleNamespace(key="policy")
    gold = SimpleNamespace(load=lambda _builder: (make_model().eval(), make_tokenizer()), tokens={"max_length": None})
    sampled: Any = SimpleNamespace(prompts=Rows("test", prompts), policy=policy)
    builder: Any = SimpleNamespace(world=World(), table=lambda _stage: samples, base=tmp_path)
    stage = JudgeStage("judged", sampled, policy, gold={"target": gold}, oracle=None)  # type: ignore[arg-type]
    table, _ = judged_table(builder, stage)
    return stage.compute(builder, tmp_path), table


def test_answers_that_spell_a_control_token_are_counted_and_read_as_the_recipe_says(tmp_path: Path) -> None:
    with text_stays_text(False):
        meta, tokens = judged(["w3 w4", "w3 <eos> w4"], tmp_path)
    assert meta == {"answers": 2, "control_tokens": 1, "control_tokens_are": "control tokens"}
    with text_stays_text():
        meta, text = judged(["w3 w4", "w3 <eos> w4"], tmp_path)
    assert meta == {"answers": 2, "control_tokens": 1, "control_tokens_are": "text"}
    assert text["gold_target"][0] == tokens["gold_target"][0]
    assert text["gold_target"][1] != tokens["gold_target"][1]
    assert judged(["w3 w4"], tmp_path)[0] == {"answers": 1}


def test_a_reference_of_a_shorter_context_reads_the_prompts_that_the_policy_was_given() -> None:
    config = LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=104,
        max_position_embeddings=12, pad_token_id=100,
    )  # fmt: skip
    model, tokenizer = LlamaForCausalLM(config).eval(), make_tokenizer()
    prompts = pd.DataFrame({"form": "text", "prompt": [" ".join(f"w{at}" for at in range(20)), "w1 w2"]})
    samples = pd.DataFrame({"row": [0, 1], "ids": [[5, 6, 101], [7, 101]], "logp": 0.0, "prompt_tokens": [18, 2]})
    sampled: Any = SimpleNamespace(prompts=Rows("test", prompts), policy=SimpleNamespace(key="policy"))
    sampled.settings, sampled.tokens = {"max_new_tokens": 4}, {"max_length": 22}
    reference: Any = SimpleNamespace(key="reference", recalled=lambda _builder: (model, tokenizer))
    stage: Any = SimpleNamespace(samples=sampled, reference=reference)
    builder: Any = SimpleNamespace(table=lambda _stage: samples)
    whole = [*tokenizer(prompts["prompt"][0])["input_ids"][-18:], 5, 6, 101]
    wanted = logprob_ids(model, [whole], [18], tokenizer.pad_token_id)
    assert _under_reference(builder, stage, samples)[0] == pytest.approx(wanted[0], abs=1e-5)


@pytest.mark.parametrize(("meta", "as_text"), [({}, True), ({}, False), ({"control_tokens_are": "text"}, True)])
def test_what_was_read_alike_is_taken(meta: dict[str, Any], as_text: bool) -> None:
    JudgeStage.check_reading(SimpleNamespace(), SimpleNamespace(meta=lambda _stage: meta), as_text)  # type: ignore[arg-type]


def test_what_was_read_otherwise_is_refused() -> None:
    stage: Any = SimpleNamespace(name="direct/none · seed 0", kind="judged", key="k")
    meta = {"control_tokens": 3, "control_tokens_are": "control tokens"}
    builder: Any = SimpleNamespace(meta=lambda _stage: meta, store=SimpleNamespace(place=lambda *parts: Path(*parts)))
    with pytest.raises(W2SError, match=r"3 of the sampled .* read them as control tokens, this recipe as text;"):
        JudgeStage.check_reading(stage, builder, True)


def test_answers_have_the_ids_and_groups_of_the_study_that_reads_them() -> None:
    """Keys of answers hold the prompts' texts: a group column that is added later makes no answer anew."""
    facts = ModelFacts(ModelSpec(path="x"), None, None, {"model_type": "gpt2"}, "h", "t", None)
    start, tokens = StartStage("as it is", facts, 0), {"max_length": None, "overlong": "truncate"}

    def stage(ids: list[str], groups: list[str]) -> JudgeStage:
        frame = pd.DataFrame({"id": ids, "group": groups, "form": "text", "prompt": ["w1", "w2"], "a": "x", "b": "y"})
        settings = {"samples": 2, "temperature": 1.0, "max_new_tokens": 4, "batch_size": 2}
        return JudgeStage("judged", SampleStage("a", start, Rows("test", frame), settings, 0, tokens), start, {}, None)

    before, now = stage(["1", "2"], ["g", "h"]), stage(["one", "two"], ["same", "same"])
    assert before.key == now.key
    table = pd.DataFrame({"group": ["g", "g", "h", "h"], "id": ["1", "1", "2", "2"], "sample": [0, 1, 0, 1]})
    builder: Any = SimpleNamespace(table=lambda _stage: table.assign(ref_logp=0.0))
    read = analyze.judged_table(builder, {("direct/none", 0): now}, 1.0)
    assert read is not None
    assert read["id"].tolist() == ["one", "one", "two", "two"]
    assert set(read["group"]) == {"same"}
    assert analyze.judged_table(builder, {("direct/none", 0): before}, 1.0)["group"].tolist() == ["g", "g", "h", "h"]
