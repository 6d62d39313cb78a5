"""A student's folder gives, under plain transformers, the scores that it has here, for every family of models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
import torch
from conftest import make_model, make_pairs, make_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from w2s_pref.data.tokens import prompt_ids, tokenize
from w2s_pref.interface.score import score
from w2s_pref.models.info import ModelFacts
from w2s_pref.models.load import load_saved
from w2s_pref.models.scoring import score_pairs
from w2s_pref.models.spec import ModelSpec
from w2s_pref.models.standalone import FACTS, write_standalone
from w2s_pref.results.preferences import Results
from w2s_pref.stages.labels import Part
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.preferences import students

PAIRS = make_pairs(12)
TEXTS = [text for row in PAIRS.itertuples() for text in (row.prompt + row.a, row.prompt + row.b)]
SIZES: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "num_labels": 1}
#: Some texts are longer, and are cut.
LIMIT = 20


def byte_level(bos: str | None) -> PreTrainedTokenizerFast:
    """A tokenizer as decoders have it; Llama's writes a bos, GPT-2's and Qwen's nothing."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    more = {"special_tokens": ["<eos>", "<pad>", "<bos>"], "initial_alphabet": alphabet, "show_progress": False}
    core.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, **more))
    if bos:
        core.post_processor = processors.TemplateProcessing("<bos> $A", "<bos> $A $B", [("<bos>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<pad>", bos_token=bos)


def word_pieces() -> PreTrainedTokenizerFast:
    """A tokenizer as encoders have it: [CLS] text [SEP]."""
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    core.train_from_iterator(TEXTS, trainer)
    core.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)


FAMILIES = {
    "llama": (byte_level("<bos>"), LlamaConfig(**SIZES, intermediate_size=64)),
    "gpt2": (byte_level(None), GPT2Config(n_embd=32, n_head=2, n_layer=2, n_positions=64, num_labels=1)),
    "opt": (byte_level("<bos>"), OPTConfig(**SIZES, ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=64)),
    "mistral": (byte_level("<bos>"), MistralConfig(**SIZES, intermediate_size=64, num_key_value_heads=2)),
    "qwen2": (byte_level(None), Qwen2Config(**SIZES, intermediate_size=64, num_key_value_heads=2)),
    "bert": (word_pieces(), BertConfig(**SIZES, intermediate_size=64, max_position_embeddings=64)),
}


def saved(folder: Path, family: str, auto: Any) -> Path:
    tokenizer, config = FAMILIES[family]
    config.vocab_size, config.pad_token_id = len(tokenizer), tokenizer.pad_token_id
    torch.manual_seed(3)
    model = auto.from_config(config)
    for weight in model.parameters():
        weight.data *= 5 if weight.dim() > 1 else 1  # as drawn, an encoder says nearly the same of every text
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "manifest.json").write_text("{}")
    return folder


def test_a_template_that_asks_for_the_date_gives_our_tokens_on_every_day(tmp_path: Path) -> None:
    stored = saved(tmp_path / "stored", "llama", AutoModelForCausalLM)
    tokenizer = AutoTokenizer.from_pretrained(stored)
    tokenizer.chat_template = (
        "{% if strftime_now is defined %}{% set date = strftime_now('%d %b %Y') %}{% endif %}"
        "{{ date }}{% for turn in messages %} {{ turn.content }}{% endfor %}"
    )
    tokenizer.save_pretrained(stored)
    write_standalone(stored, tmp_path / "student", False, LIMIT, True)
    turns = [{"role": "user", "content": "how do I clean my oven"}]
    said = AutoTokenizer.from_pretrained(tmp_path / "student").apply_chat_template(turns, return_dict=False)
    asked = pd.DataFrame({"form": ["chat"], "prompt": [json.dumps(turns)]})
    assert [said] == prompt_ids(asked, tokenizer, None)
    assert tokenizer.decode(said).startswith("26 Jul 2024")


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_transformers_give_our_scores(tmp_path: Path, family: str) -> None:
    place = tmp_path / "student"
    write_standalone(saved(tmp_path / "stored", family, AutoModelForSequenceClassification), place, True, LIMIT, True)
    assert not any(path.is_symlink() for path in place.iterdir())
    assert not (place / "manifest.json").exists()
    ours = score_pairs(*load_saved(tmp_path / "stored"), PAIRS, max_length=LIMIT)
    again = score_pairs(*load_saved(place), PAIRS, max_length=LIMIT)
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    batch = tokenizer(TEXTS, truncation=True, padding=True, return_tensors="pt")
    assert (batch["attention_mask"].sum(1) == LIMIT).any()
    with torch.no_grad():
        together = model(**batch).logits[:, 0].view(-1, 2)
        alone = model(**tokenizer(TEXTS[0], truncation=True, return_tensors="pt")).logits[0, 0]
    expected = torch.tensor(ours[["score_a", "score_b"]].to_numpy())
    assert expected.std() > 100 * 1e-5
    assert (together - expected).abs().max() <= 1e-5
    assert (alone - expected[0, 0]).abs() <= 1e-5
    assert (torch.tensor(again[["score_a", "score_b"]].to_numpy()) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "bert"])
def test_a_policy_goes_on_from_the_prompt(tmp_path: Path, family: str) -> None:
    """Its tokenizer writes no eos: the prompt's ids are those that it is given here."""
    place = tmp_path / "student"
    write_standalone(saved(tmp_path / "stored", family, AutoModelForCausalLM), place, False, LIMIT, True)
    tokenizer = AutoTokenizer.from_pretrained(place)
    ours = prompt_ids(PAIRS, AutoTokenizer.from_pretrained(tmp_path / "stored"), LIMIT)
    assert [tokenizer(prompt, truncation=True)["input_ids"] for prompt in PAIRS["prompt"]] == ours
    tokens = tokenizer(PAIRS["prompt"][0], return_tensors="pt")
    said = AutoModelForCausalLM.from_pretrained(place).generate(**tokens, max_new_tokens=4, do_sample=False)
    assert said.shape[1] > tokens["input_ids"].shape[1]


def test_weights_take_no_room_twice_and_copies_are_whole(tmp_path: Path) -> None:
    stored = saved(tmp_path / "stored", "gpt2", AutoModelForSequenceClassification)
    for name, link in (("linked", True), ("copied", False)):
        write_standalone(stored, tmp_path / name, True, None, link)
        shared = os.path.samefile(stored / "model.safetensors", tmp_path / name / "model.safetensors")
        assert shared is link
    before = json.loads((stored / "tokenizer.json").read_text())
    assert (
        before["post_processor"] != json.loads((tmp_path / "linked" / "tokenizer.json").read_text())["post_processor"]
    )


def test_the_eos_stands_once_however_often_it_is_asked_for(tmp_path: Path) -> None:
    """A student that is exported, or trained on, again."""
    first, second = tmp_path / "first", tmp_path / "second"
    write_standalone(saved(tmp_path / "stored", "llama", AutoModelForSequenceClassification), first, True, None, False)
    write_standalone(first, second, True, None, False)
    tokenizer = AutoTokenizer.from_pretrained(second)
    assert tokenizer("w1 w2")["input_ids"].count(tokenizer.eos_token_id) == 1
    assert tokenize(PAIRS, tokenizer, None).a_ids == tokenize(PAIRS, FAMILIES["llama"][0], None).a_ids


def test_w2s_score_reads_as_much_of_a_text_as_a_student_learned(tmp_path: Path) -> None:
    """By default: what a student was trained and judged on, not what is usual for other models."""
    make_model().save_pretrained(tmp_path / "saved")
    make_tokenizer().save_pretrained(tmp_path / "saved")
    write_standalone(tmp_path / "saved", tmp_path / "student", True, 12, link=False)
    long = " ".join(f"w{number}" for number in range(30))
    pairs = [{"id": str(at), "prompt": long, "chosen": f" yes w{at}", "rejected": f" no w{at}"} for at in range(4)]

    def delta(**how: Any) -> list[float]:
        return list(score(tmp_path / "student", pairs, **how)["delta"])

    assert delta() == delta(max_length=512) != delta(max_length=12)
    (tmp_path / "student" / FACTS).write_text("{}")
    assert delta() == delta(max_length=12)


def test_a_student_names_the_objective_as_its_study_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys hold no names of objectives: a study that calls it otherwise takes the model from the store."""

    def trained(objective: str) -> TrainStage:
        frame = pd.DataFrame({"id": ["1"], "form": "text", "prompt": "q", "a": "x", "b": "y", "truth": 1})
        part = Part(Rows("w2s", frame.assign(group="g", objective=objective)), "truth")
        facts = ModelFacts(ModelSpec(path="x"), None, None, {}, "h", "t", None)
        return TrainStage("direct/none", facts, (part,), 0, {}, {}, {}, {"max_length": 8})

    assert trained("harmless").key == trained("safe").key
    monkeypatch.setattr(students, "write_standalone", lambda model, place, *given, **more: place.mkdir(parents=True))
    monkeypatch.setattr("w2s_pref.report.cards.model_card", lambda *given: "")
    recipe: Any = SimpleNamespace(
        conflict=SimpleNamespace(names=["none"]), seeds=[0], data=SimpleNamespace(max_length=8)
    )
    study: Any = SimpleNamespace(chains={"direct": []}, trained={("direct/none", 0): trained("safe")})
    builder: Any = SimpleNamespace(
        artifact=lambda stage: SimpleNamespace(folder=tmp_path, freed=frozenset()),
        meta=lambda stage: {"objective": "harmless"},
    )
    written, results = tmp_path / "students", cast(Results, None)
    students.write_students(recipe, study, builder, results, written, tmp_path / "before")
    told = json.loads((tmp_path / "students" / "direct-none-seed0" / FACTS).read_text())
    assert told["objective"] == "safe"
