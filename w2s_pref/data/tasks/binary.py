"""Tasks of one text and one label a record. Label 1 is positive everywhere; prompts never depend on it."""

from __future__ import annotations

import re

from w2s_pref.core.tables import neutral_order
from w2s_pref.data.tasks.fields import label, same, stem, text
from w2s_pref.data.tasks.task import ALL, HELD_OUT, PARQUET, BadRecord, Item, Record, binary

_GLUE = {"hub": "nyu-mll/glue", "revision": "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"}
_SUPER_GLUE = {"hub": "aps/super_glue", "revision": "3de24cf8022e94f4ee4b9d55a6f539891524d646"}

#: The hub's ``validation`` is the authors' test set; its ``test`` is their harder one (test_hard).
_ETHICS = {
    "hub": "hendrycks/ethics",
    "revision": PARQUET,
    "splits": HELD_OUT,
    "about": "MIT; Hendrycks et al. 2021, arXiv 2008.02275",
}


@binary(
    "boolq",
    hub="google/boolq",
    revision="35b264d03638db9f4ce671b711558bf7ff0f80d5",
    splits=HELD_OUT,
    columns=("passage", "question", "answer"),
    group="passage",
    about="CC BY-SA 3.0; Clark et al. 2019, arXiv 1905.10044",
)
def boolq(record: Record) -> Item:
    """Is the answer to the question yes?"""
    passage = text(record, "passage")
    return Item(same(passage), f"{passage}\nQuestion: {text(record, 'question').rstrip('?')}?", label(record, "answer"))


@binary("ethics-justice", folder="justice", columns=("scenario", "label"), group="scenario", **_ETHICS)
def ethics_justice(record: Record) -> Item:
    """Is the claim reasonable? Authors wrote scenarios in families that share the claim or the reason: one group."""
    scenario = text(record, "scenario")
    claim, _, reason = re.sub(r"\s+(because|since)\s+", "\0", same(scenario), count=1).partition("\0")
    keys = (f"claim {claim}", f"reason {reason}") if reason else (f"claim {claim}",)
    return Item(keys, f"{scenario}\nIs this reasonable?", label(record, "label"))


@binary(
    "ethics-deontology",
    folder="deontology",
    columns=("scenario", "excuse", "label"),
    group="scenario",
    **_ETHICS,
)
def ethics_deontology(record: Record) -> Item:
    """Is the excuse acceptable?"""
    scenario, excuse = text(record, "scenario"), text(record, "excuse")
    return Item(same(scenario), f"{scenario}\n{excuse}\nIs this a valid answer?", label(record, "label"))


@binary("ethics-virtue", folder="virtue", columns=("scenario", "label"), group="scenario", **_ETHICS)
def ethics_virtue(record: Record) -> Item:
    """Does the person show the trait? Balanced within a scenario: one trait is right, several are wrong."""
    scenario, mark, trait = text(record, "scenario").partition("[SEP]")
    if not mark or not scenario.strip() or not trait.strip():
        raise BadRecord("column 'scenario' must read 'SCENARIO [SEP] TRAIT'; mend the row")
    prompt = f"{scenario.strip()}\nDoes the person show this trait: {trait.strip()}?"
    return Item(same(scenario), prompt, label(record, "label"), unit=same(scenario))


@binary(
    "ethics-utilitarianism",
    folder="utilitarianism",
    columns=("baseline", "less_pleasant"),
    group="sorted pair",
    **_ETHICS,
)
def ethics_utilitarianism(record: Record) -> Item:
    """Is the first scenario more pleasant? A hash of the two texts says which comes first."""
    better, worse = text(record, "baseline", "better"), text(record, "less_pleasant", "worse")
    if better == worse:
        raise BadRecord("both scenarios are the same text; remove the row")
    first = neutral_order(better, worse)
    one, two = (better, worse) if first else (worse, better)
    return Item(same(one, two), f"1. {one}\n2. {two}\nIs the first more pleasant than the second?", int(first))


@binary(
    "anli-r2",
    hub="facebook/anli",
    revision="8e4813d81f46d313dac7892e1c28076917cfcdf9",
    splits={"train_r2": "train", "dev_r2": "train", "test_r2": "test"},
    columns=("premise", "hypothesis", "label"),
    group="premise",
    about="CC BY-NC 4.0; Nie et al. 2020, arXiv 1910.14599",
)
def anli_r2(record: Record) -> Item:
    """Does the premise entail the hypothesis? The source's 0 is entailment, 1 neutral, 2 contradiction."""
    premise = text(record, "premise")
    entails = label(record, "label", values=(0, 1, 2)) == 0
    return Item(same(premise), f"{premise}\nDoes it follow that: {text(record, 'hypothesis')}", int(entails))


@binary(
    "cola",
    config="cola",
    splits=HELD_OUT,
    columns=("sentence", "label"),
    group="sentence",
    about="Warstadt et al. 2019, arXiv 1805.12471",
    **_GLUE,
)
def cola(record: Record) -> Item:
    """Is the sentence grammatical?"""
    sentence = text(record, "sentence")
    return Item(same(sentence), sentence, label(record, "label"))


@binary(
    "sst2",
    config="sst2",
    splits=HELD_OUT,
    columns=("sentence", "label"),
    group="sentence",
    about="Socher et al. 2013 (EMNLP)",
    **_GLUE,
)
def sst2(record: Record) -> Item:
    """Is the review positive? Training texts are phrases: a sentence and its phrases are different groups."""
    sentence = text(record, "sentence")
    return Item(same(sentence), sentence, label(record, "label"))


@binary(
    "mc-taco",
    hub="CogComp/mc_taco",
    revision=PARQUET,
    folder="plain_text",
    splits={"test": "train", "validation": "test"},
    columns=("sentence", "question", "answer", "label"),
    group="sentence",
    about="Zhou et al. 2019, arXiv 1909.03065; the larger of its two splits, test, is the one to train on",
)
def mc_taco(record: Record) -> Item:
    """Is the answer plausible? A question has several right and wrong answers, balanced within it."""
    sentence = text(record, "sentence")
    asked = stem(record, sentence)
    return Item(same(sentence), asked + text(record, "answer"), label(record, "label"), unit=asked)


@binary(
    "paws",
    hub="google-research-datasets/paws",
    config="labeled_final",
    revision="161ece9501cf0a11f3e48bd356eaa82de46d6a09",
    splits=ALL,
    columns=("sentence1", "sentence2", "label"),
    group="sorted pair",
    about="free use with attribution (authors' terms); Zhang et al. 2019, arXiv 1904.01130",
)
def paws(record: Record) -> Item:
    """Do the two sentences mean the same?"""
    one, two = text(record, "sentence1"), text(record, "sentence2")
    return Item(same(one, two), f"1. {one}\n2. {two}\nDo they mean the same?", label(record, "label"))


@binary(
    "multirc",
    config="multirc",
    splits=HELD_OUT,
    columns=("paragraph", "question", "answer", "label"),
    group="paragraph",
    about="Khashabi et al. 2018 (NAACL)",
    **_SUPER_GLUE,
)
def multirc(record: Record) -> Item:
    """Is the answer right? Balanced within a question. The passage is the key: idx.paragraph restarts in a split."""
    passage = text(record, "paragraph")
    asked = stem(record, passage)
    return Item(same(passage), asked + text(record, "answer"), label(record, "label"), unit=asked)


@binary(
    "wic",
    config="wic",
    splits=HELD_OUT,
    columns=("word", "sentence1", "sentence2", "label"),
    group="word",
    about="Pilehvar and Camacho-Collados 2019, arXiv 1808.09121",
    **_SUPER_GLUE,
)
def wic(record: Record) -> Item:
    """Has the word the same meaning in both sentences?"""
    word, one, two = (text(record, name) for name in ("word", "sentence1", "sentence2"))
    prompt = f"1. {one}\n2. {two}\nDoes '{word}' have the same meaning in both?"
    return Item(same(word), prompt, label(record, "label"))


@binary(
    "twitter-sentiment",
    hub="EleutherAI/twitter-sentiment",
    splits={"train": "train", "test": "test"},
    columns=("text", "label"),
    group="text",
)
def twitter_sentiment(record: Record) -> Item:
    """Is the tweet positive?"""
    tweet = text(record, "text")
    return Item(same(tweet), tweet, label(record, "label"))
