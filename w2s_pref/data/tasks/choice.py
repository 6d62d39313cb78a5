"""Multiple-choice tasks: a question becomes one item with its right option and one with a wrong option."""

from __future__ import annotations

from w2s_pref.data.tasks.fields import cell, label, lettered, position, same, stem, text, texts
from w2s_pref.data.tasks.task import ALL, HELD_OUT, PARQUET, Question, Record, Unusable, choice

_NONE = "None of the above choices ."


@choice(
    "cosmosqa",
    hub="allenai/cosmos_qa",
    revision=PARQUET,
    folder="default",
    splits=HELD_OUT,
    columns=("context", "question", "answer0", "answer1", "answer2", "answer3", "label"),
    group="context",
    about="CC BY 4.0; Huang et al. 2019, arXiv 1909.00277",
)
def cosmosqa(record: Record) -> Question:
    """'None of the above choices .' says nothing without the others, so it is never an option here."""
    context = text(record, "context")
    names = [f"answer{number}" for number in range(4)]
    options = texts(record, "choices") if "choices" in record else [text(record, name) for name in names]
    right = options[label(record, "label", values=tuple(range(len(options))))]
    if right == _NONE:
        raise Unusable("none_of_the_above")
    options = [option for option in options if option != _NONE]
    return Question(same(context), stem(record, context), options, options.index(right))


@choice(
    "dream",
    hub="dataset-org/dream",
    revision=PARQUET,
    folder="plain_text",
    splits=ALL,
    columns=("dialogue_id", "dialogue", "question", "choice", "answer"),
    group="dialogue_id",
    about="non-commercial research (authors' terms); Sun et al. 2019, arXiv 1902.00164",
)
def dream(record: Record) -> Question:
    """The dialogue is in the text: without it the questions cannot be answered."""
    dialogue, options = "\n".join(texts(record, "dialogue")), texts(record, "choice")
    right = position(options, cell(record, "answer"))
    return Question(text(record, "dialogue_id"), stem(record, dialogue), options, right)


@choice(
    "hellaswag",
    hub="Rowan/hellaswag",
    revision="218ec52e09a7e7462a5400043bb9a69a41d06b76",
    splits=HELD_OUT,
    columns=("ctx", "endings", "label", "source_id"),
    group="source_id and context",
    about="MIT; Zellers et al. 2019, arXiv 1905.07830",
)
def hellaswag(record: Record) -> Question:
    """Does the ending continue the text? Texts of one video or article are one group."""
    context, options = text(record, "ctx"), texts(record, "endings")
    right = label(record, "label", values=tuple(range(len(options))))
    return Question((f"source {text(record, 'source_id')}", same(context)), context + " ", options, right)


@choice(
    "openbookqa",
    hub="allenai/openbookqa",
    config="main",
    revision="388097ea7776314e93a529163e0fea805b8a6454",
    splits=ALL,
    columns=("question_stem", "choices", "answerKey"),
    group="question",
    about="Apache-2.0 (the authors' repository); Mihaylov et al. 2018, arXiv 1809.02789",
)
def openbookqa(record: Record) -> Question:
    """Right options are written as text, as the wrong ones are, never as a letter."""
    question = text(record, "question_stem", "question")
    if isinstance(cell(record, "choices"), dict):
        options, right = lettered(record, "choices", "answerKey")
    else:
        options = texts(record, "choices")
        right = position(options, cell(record, "label"))
    return Question(same(question), f"Question: {question}\nAnswer: ", options, right)


@choice(
    "quail",
    hub="textmachinelab/quail",
    revision="2bd9d7f90a532fe1a910b70972cef5fda341c8fe",
    splits=HELD_OUT,
    columns=("context_id", "context", "question", "answers", "correct_answer_id"),
    group="context_id",
    about="CC BY-NC-SA 4.0; Rogers et al. 2020 (AAAI)",
)
def quail(record: Record) -> Question:
    """'not enough information' is an option of every question, right for the unanswerable ones: it stays."""
    options = texts(record, "answers")
    right = label(record, "correct_answer_id", values=tuple(range(len(options))))
    return Question(text(record, "context_id"), stem(record, text(record, "context")), options, right)


@choice(
    "piqa",
    hub="baber/piqa",
    revision="142f6d7367fd9877f0fb3b5734ea6a545f54cdd1",
    splits=HELD_OUT,
    columns=("goal", "sol1", "sol2", "label"),
    group="goal",
    about="Bisk et al. 2020, arXiv 1911.11641",
)
def piqa(record: Record) -> Question:
    """Does the solution reach the goal?"""
    goal, options = text(record, "goal"), [text(record, "sol1"), text(record, "sol2")]
    return Question(same(goal), f"Goal: {goal}\nSolution: ", options, label(record, "label"))


@choice(
    "quartz",
    hub="allenai/quartz",
    splits=ALL,
    columns=("para", "question", "choices", "answerKey"),
    group="para",
    about="CC BY 4.0; Tafjord et al. 2019, arXiv 1909.03553",
)
def quartz(record: Record) -> Question:
    """Is the answer right, given the paragraph?"""
    passage = text(record, "para")
    options, right = lettered(record, "choices", "answerKey")
    return Question(same(passage), stem(record, passage), options, right)


@choice(
    "sciq",
    hub="allenai/sciq",
    revision="2c94ad3e1aafab77146f384e23536f97a4849815",
    splits=ALL,
    columns=("question", "correct_answer", "distractor1", "distractor2", "distractor3"),
    group="question",
    about="CC BY-NC 3.0; Welbl et al. 2017, arXiv 1707.06209",
)
def sciq(record: Record) -> Question:
    """Without the supporting passage, which often holds the answer word for word."""
    options = [text(record, name) for name in ("correct_answer", "distractor1", "distractor2", "distractor3")]
    return Question(same(text(record, "question")), stem(record), options, 0)


@choice(
    "social-iqa",
    hub="lighteval/siqa",
    revision="54c6a1f8cb6daf4f5abf24a601852612fb35eb25",
    splits=HELD_OUT,
    columns=("context", "question", "answerA", "answerB", "answerC", "label"),
    group="context",
    about="Sap et al. 2019, arXiv 1904.09728",
)
def social_iqa(record: Record) -> Question:
    """The source's label is 1, 2 or 3, written as text."""
    context = text(record, "context")
    options = [text(record, name) for name in ("answerA", "answerB", "answerC")]
    right = label(record, "label", values=(1, 2, 3)) - 1
    return Question(same(context), stem(record, context), options, right)
