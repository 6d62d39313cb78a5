"""The 22 tasks of weak-to-strong generalization. Label 1 is positive everywhere; no text depends on the label.

A multiple-choice question becomes one item with its right option and one with a wrong option.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from w2s_pref.core.tables import neutral_order
from w2s_pref.data.tasks.fields import PLACE, cell, fill, label, lettered, position, same, stem, text, texts
from w2s_pref.data.tasks.task import PARQUET, BadRecord, Hub, Item, Kind, Pool, Question, Recipe, Record, Task, Unusable

#: The hub's splits and what becomes of them: where ``test`` has no labels, and where all three have.
HELD_OUT: dict[str, Pool] = {"train": "train", "validation": "test"}
ALL: dict[str, Pool] = {"train": "train", "validation": "train", "test": "test"}

_GLUE = ("nyu-mll/glue", "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c", HELD_OUT)
_SUPER_GLUE = ("aps/super_glue", "3de24cf8022e94f4ee4b9d55a6f539891524d646", HELD_OUT)
#: The hub's ``validation`` is the authors' test set; its ``test`` is their harder one (test_hard).
_ETHICS = ("hendrycks/ethics", PARQUET, HELD_OUT, None)
_ANLI: dict[str, Pool] = {"train_r2": "train", "dev_r2": "train", "test_r2": "test"}

_HUB = {
    "boolq": Hub("google/boolq", "35b264d03638db9f4ce671b711558bf7ff0f80d5", HELD_OUT),
    "ethics-justice": Hub(*_ETHICS, "justice"),
    "ethics-deontology": Hub(*_ETHICS, "deontology"),
    "ethics-virtue": Hub(*_ETHICS, "virtue"),
    "ethics-utilitarianism": Hub(*_ETHICS, "utilitarianism"),
    "anli-r2": Hub("facebook/anli", "8e4813d81f46d313dac7892e1c28076917cfcdf9", _ANLI),
    "cola": Hub(*_GLUE, "cola"),
    "sst2": Hub(*_GLUE, "sst2"),
    "mc-taco": Hub("CogComp/mc_taco", PARQUET, {"test": "train", "validation": "test"}, None, "plain_text"),
    "paws": Hub("google-research-datasets/paws", "161ece9501cf0a11f3e48bd356eaa82de46d6a09", ALL, "labeled_final"),
    "multirc": Hub(*_SUPER_GLUE, "multirc"),
    "wic": Hub(*_SUPER_GLUE, "wic"),
    "twitter-sentiment": Hub("EleutherAI/twitter-sentiment", None, {"train": "train", "test": "test"}),
    "cosmosqa": Hub("allenai/cosmos_qa", PARQUET, HELD_OUT, None, "default"),
    "dream": Hub("dataset-org/dream", PARQUET, ALL, None, "plain_text"),
    "hellaswag": Hub("Rowan/hellaswag", "218ec52e09a7e7462a5400043bb9a69a41d06b76", HELD_OUT),
    "openbookqa": Hub("allenai/openbookqa", "388097ea7776314e93a529163e0fea805b8a6454", ALL, "main"),
    "quail": Hub("textmachinelab/quail", "2bd9d7f90a532fe1a910b70972cef5fda341c8fe", HELD_OUT),
    "piqa": Hub("baber/piqa", "142f6d7367fd9877f0fb3b5734ea6a545f54cdd1", HELD_OUT),
    "quartz": Hub("allenai/quartz", None, ALL),
    "sciq": Hub("allenai/sciq", "2c94ad3e1aafab77146f384e23536f97a4849815", ALL),
    "social-iqa": Hub("lighteval/siqa", "54c6a1f8cb6daf4f5abf24a601852612fb35eb25", HELD_OUT),
}

#: Licence and source, as far as known.
_ABOUT = {
    "boolq": "CC BY-SA 3.0; Clark et al. 2019, arXiv 1905.10044",
    "ethics": "MIT; Hendrycks et al. 2021, arXiv 2008.02275",
    "anli-r2": "CC BY-NC 4.0; Nie et al. 2020, arXiv 1910.14599",
    "cola": "Warstadt et al. 2019, arXiv 1805.12471",
    "sst2": "Socher et al. 2013 (EMNLP)",
    "mc-taco": "Zhou et al. 2019, arXiv 1909.03065; the larger of its two splits, test, is the one to train on",
    "paws": "free use with attribution (authors' terms); Zhang et al. 2019, arXiv 1904.01130",
    "multirc": "Khashabi et al. 2018 (NAACL)",
    "wic": "Pilehvar and Camacho-Collados 2019, arXiv 1808.09121",
    "cosmosqa": "CC BY 4.0; Huang et al. 2019, arXiv 1909.00277",
    "dream": "non-commercial research (authors' terms); Sun et al. 2019, arXiv 1902.00164",
    "hellaswag": "MIT; Zellers et al. 2019, arXiv 1905.07830",
    "openbookqa": "Apache-2.0 (the authors' repository); Mihaylov et al. 2018, arXiv 1809.02789",
    "quail": "CC BY-NC-SA 4.0; Rogers et al. 2020 (AAAI)",
    "piqa": "Bisk et al. 2020, arXiv 1911.11641",
    "quartz": "CC BY 4.0; Tafjord et al. 2019, arXiv 1909.03553",
    "sciq": "CC BY-NC 3.0; Welbl et al. 2017, arXiv 1707.06209",
    "social-iqa": "Sap et al. 2019, arXiv 1904.09728",
}


def _task(name: str, kind: Kind, *columns: str, group: str | None = None) -> Callable[[Recipe], Task]:
    """Make a recipe a task; what keeps rows together is the first column, where ``group`` says nothing else."""
    about = _ABOUT.get("ethics" if name.startswith("ethics") else name, "")
    return lambda recipe: Task(name, kind, recipe, _HUB[name], columns, group or columns[0], about)


def _template(
    name: str,
    asks: str,
    prompt: str,
    *group: str,
    unit: str | None = None,
    values: tuple[int, ...] = (0, 1),
    positive: int = 1,
) -> Task:
    """A task of one item a record: a prompt with ``{column}`` where texts go, and the label in column ``label``."""

    def recipe(record: Record) -> Item:
        key = same(*(text(record, name) for name in group))
        filled = fill(prompt, record)
        is_positive = label(record, "label", values=values) == positive
        return Item(key, filled, int(is_positive), None if unit is None else fill(unit, record))

    recipe.__doc__ = asks
    columns = dict.fromkeys([*group, *PLACE.findall(prompt), "label"])
    return _task(name, "binary", *columns, group="sorted pair" if len(group) > 1 else None)(recipe)


@_task("boolq", "binary", "passage", "question", "answer")
def boolq(record: Record) -> Item:
    """Is the answer to the question yes?"""
    passage = text(record, "passage")
    return Item(same(passage), f"{passage}\nQuestion: {text(record, 'question').rstrip('?')}?", label(record, "answer"))


@_task("ethics-justice", "binary", "scenario", "label")
def ethics_justice(record: Record) -> Item:
    """Is the claim reasonable? Authors wrote scenarios in families that share the claim or the reason: one group."""
    scenario = text(record, "scenario")
    claim, _, reason = re.sub(r"\s+(because|since)\s+", "\0", same(scenario), count=1).partition("\0")
    keys = (f"claim {claim}", f"reason {reason}") if reason else (f"claim {claim}",)
    return Item(keys, f"{scenario}\nIs this reasonable?", label(record, "label"))


ethics_deontology = _template(
    "ethics-deontology", "Is the excuse acceptable?", "{scenario}\n{excuse}\nIs this a valid answer?", "scenario"
)


@_task("ethics-virtue", "binary", "scenario", "label")
def ethics_virtue(record: Record) -> Item:
    """Does the person show the trait? Balanced within a scenario: one trait is right, several are wrong."""
    scenario, mark, trait = text(record, "scenario").partition("[SEP]")
    if not mark or not scenario.strip() or not trait.strip():
        raise BadRecord("column 'scenario' must read 'SCENARIO [SEP] TRAIT'; mend the row")
    prompt = f"{scenario.strip()}\nDoes the person show this trait: {trait.strip()}?"
    return Item(same(scenario), prompt, label(record, "label"), unit=same(scenario))


@_task("ethics-utilitarianism", "binary", "baseline", "less_pleasant", group="sorted pair")
def ethics_utilitarianism(record: Record) -> Item:
    """Is the first scenario more pleasant? A hash of the two texts says which comes first."""
    better, worse = text(record, "baseline", "better"), text(record, "less_pleasant", "worse")
    if better == worse:
        raise BadRecord("both scenarios are the same text; remove the row")
    first = neutral_order(better, worse)
    one, two = (better, worse) if first else (worse, better)
    return Item(same(one, two), f"1. {one}\n2. {two}\nIs the first more pleasant than the second?", int(first))


anli_r2 = _template(
    "anli-r2",
    "Does the premise entail the hypothesis? The source's 0 is entailment, 1 neutral, 2 contradiction.",
    "{premise}\nDoes it follow that: {hypothesis}",
    "premise",
    values=(0, 1, 2),
    positive=0,
)

cola = _template("cola", "Is the sentence grammatical?", "{sentence}", "sentence")

sst2 = _template(
    "sst2",
    "Is the review positive? Training texts are phrases: a sentence and its phrases are different groups.",
    "{sentence}",
    "sentence",
)

mc_taco = _template(
    "mc-taco",
    "Is the answer plausible? A question has several right and wrong answers, balanced within it.",
    "{sentence}\nQuestion: {question}\nAnswer: {answer}",
    "sentence",
    unit="{sentence}\nQuestion: {question}\nAnswer: ",
)

paws = _template(
    "paws",
    "Do the two sentences mean the same?",
    "1. {sentence1}\n2. {sentence2}\nDo they mean the same?",
    "sentence1",
    "sentence2",
)

multirc = _template(
    "multirc",
    "Is the answer right? Balanced within a question. The passage is the key: idx.paragraph restarts in a split.",
    "{paragraph}\nQuestion: {question}\nAnswer: {answer}",
    "paragraph",
    unit="{paragraph}\nQuestion: {question}\nAnswer: ",
)

wic = _template(
    "wic",
    "Has the word the same meaning in both sentences?",
    "1. {sentence1}\n2. {sentence2}\nDoes '{word}' have the same meaning in both?",
    "word",
)

twitter_sentiment = _template("twitter-sentiment", "Is the tweet positive?", "{text}", "text")


@_task("cosmosqa", "choice", "context", "question", "answer0", "answer1", "answer2", "answer3", "label")
def cosmosqa(record: Record) -> Question:
    """'None of the above choices .' says nothing without the others, so it is never an option here."""
    context = text(record, "context")
    names = [f"answer{number}" for number in range(4)]
    options = texts(record, "choices") if "choices" in record else [text(record, name) for name in names]
    right = options[label(record, "label", values=tuple(range(len(options))))]
    none = "None of the above choices ."
    if right == none:
        raise Unusable("none_of_the_above")
    options = [option for option in options if option != none]
    return Question(same(context), stem(record, context), options, options.index(right))


@_task("dream", "choice", "dialogue_id", "dialogue", "question", "choice", "answer")
def dream(record: Record) -> Question:
    """The dialogue is in the text: without it the questions cannot be answered."""
    dialogue, options = "\n".join(texts(record, "dialogue")), texts(record, "choice")
    right = position(options, cell(record, "answer"))
    return Question(text(record, "dialogue_id"), stem(record, dialogue), options, right)


@_task("hellaswag", "choice", "ctx", "endings", "label", "source_id", group="source_id and context")
def hellaswag(record: Record) -> Question:
    """Does the ending continue the text? Texts of one video or article are one group."""
    context, options = text(record, "ctx"), texts(record, "endings")
    right = label(record, "label", values=tuple(range(len(options))))
    return Question((f"source {text(record, 'source_id')}", same(context)), context + " ", options, right)


@_task("openbookqa", "choice", "question_stem", "choices", "answerKey", group="question")
def openbookqa(record: Record) -> Question:
    """Right options are written as text, as the wrong ones are, never as a letter."""
    question = text(record, "question_stem", "question")
    if isinstance(cell(record, "choices"), dict):
        options, right = lettered(record, "choices", "answerKey")
    else:
        options = texts(record, "choices")
        right = position(options, cell(record, "label"))
    return Question(same(question), f"Question: {question}\nAnswer: ", options, right)


@_task("quail", "choice", "context_id", "context", "question", "answers", "correct_answer_id")
def quail(record: Record) -> Question:
    """'not enough information' is an option of every question, right for the unanswerable ones: it stays."""
    options = texts(record, "answers")
    right = label(record, "correct_answer_id", values=tuple(range(len(options))))
    return Question(text(record, "context_id"), stem(record, text(record, "context")), options, right)


@_task("piqa", "choice", "goal", "sol1", "sol2", "label")
def piqa(record: Record) -> Question:
    """Does the solution reach the goal?"""
    goal, options = text(record, "goal"), [text(record, "sol1"), text(record, "sol2")]
    return Question(same(goal), f"Goal: {goal}\nSolution: ", options, label(record, "label"))


@_task("quartz", "choice", "para", "question", "choices", "answerKey")
def quartz(record: Record) -> Question:
    """Is the answer right, given the paragraph?"""
    passage = text(record, "para")
    options, right = lettered(record, "choices", "answerKey")
    return Question(same(passage), stem(record, passage), options, right)


@_task("sciq", "choice", "question", "correct_answer", "distractor1", "distractor2", "distractor3")
def sciq(record: Record) -> Question:
    """Without the supporting passage, which often holds the answer word for word."""
    options = [text(record, name) for name in ("correct_answer", "distractor1", "distractor2", "distractor3")]
    return Question(same(text(record, "question")), stem(record), options, 0)


@_task("social-iqa", "choice", "context", "question", "answerA", "answerB", "answerC", "label")
def social_iqa(record: Record) -> Question:
    """The source's label is 1, 2 or 3, written as text."""
    context = text(record, "context")
    options = [text(record, name) for name in ("answerA", "answerB", "answerC")]
    right = label(record, "label", values=(1, 2, 3)) - 1
    return Question(same(context), stem(record, context), options, right)
