"""From files, folders and (a stand-in for) the hub to balanced tables; tasks of one's own; every kind of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import real_data
from task_fixtures_choice import CASES
from test_tasks_recipes import BINARY

from w2s_pref.core.errors import Unreachable, W2SError
from w2s_pref.core.tables import first_groups
from w2s_pref.data.tasks.load import _check_made, _part, load, load_task
from w2s_pref.data.tasks.table import balanced, rows_of
from w2s_pref.data.tasks.task import PARQUET, TASKS, Item, Question, task

OWN = {"task": "mine", "path": "mine.csv", "kind": "binary", "text": "Review: {review}", "label": "y", "group": "who"}
QUIZ = {
    "task": "quiz",
    "path": "quiz.jsonl",
    "kind": "choice",
    "text": "Q: {q}\nA: ",
    "options": ["a", "b", "c"],
    "label": "right",
    "group": "q",
}


def reviews(folder: Path, rows: int = 12, **changes: Any) -> Path:
    frame = pd.DataFrame(
        {
            "review": [f"text {number}" for number in range(rows)],
            "y": [number % 3 == 0 for number in range(rows)],
            "who": [f"author {number // 2}" for number in range(rows)],
        }
    ).assign(**changes)
    frame.to_csv(folder / "mine.csv", index=False)
    return folder


def quiz(folder: Path, right: Any = "b", rows: int = 6) -> Path:
    lines = [
        {"q": f"question {number}", "a": "red", "b": "green", "c": "blue", "right": right} for number in range(rows)
    ]
    (folder / "quiz.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def refused(config: Any, base: Path) -> str:
    with pytest.raises(W2SError) as caught:
        load(config, base)
    return str(caught.value)


# --- the 22, from files and from the hub ---


@pytest.mark.parametrize("name", CASES)
def test_every_task_reads_its_schema_from_jsonl_and_parquet(name: str, tmp_path: Path) -> None:
    records = CASES[name].records
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    pd.DataFrame(records).to_parquet(tmp_path / "train.parquet")
    frames = [load_task({"task": name, "path": f"train.{end}"}, tmp_path) for end in ("jsonl", "parquet")]
    assert frames[0].equals(frames[1])
    assert frames[0]["truth"].mean() == 0.5


@pytest.mark.parametrize("name", CASES)
def test_the_hub_is_asked_for_labelled_splits_without_code(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known, asked = TASKS.find(name, tmp_path), []

    def load_dataset(hub: str, config: str | None, **options: Any) -> datasets.Dataset:
        asked.append((hub, config, options))
        return datasets.Dataset.from_list(CASES[name].records)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = load(name)
    assert [options["split"] for _, _, options in asked] == list(known.hub.splits)
    assert {(hub, config) for hub, config, _ in asked} == {(known.hub.name, known.hub.config)}
    assert all(options.keys() == {"split", "revision", "data_dir"} for _, _, options in asked)
    assert all((options["revision"] == PARQUET) == (options["data_dir"] is not None) for _, _, options in asked)
    assert set(found.frame["part"]) == {"test"}, "the same records in both: the test part keeps them"


def test_the_hub_out_of_reach_is_a_sentence() -> None:
    with pytest.raises(Unreachable) as caught:
        load("cola")
    message = str(caught.value)
    assert "task 'cola' cannot be read from the hub (nyu-mll/glue, split train)" in message
    assert "with the columns sentence, label" in message


def test_files_say_their_part_by_name_and_one_part_alone_is_for_training(tmp_path: Path) -> None:
    for name, word in (("train", "ran"), ("validation", "sat")):
        pd.DataFrame({"sentence": [f"{word} {i}" for i in range(4)], "label": [0, 1, 0, 1]}).to_csv(
            tmp_path / f"cola_{name}.csv", index=False
        )
    both = load_task({"task": "cola", "path": "*.csv"}, tmp_path)
    assert both.groupby("part")["prompt"].apply(lambda texts: set(texts.str[:3])).to_dict() == {
        "test": {"sat"},
        "train": {"ran"},
    }
    assert set(load_task({"task": "cola", "path": "cola_validation.csv"}, tmp_path)["part"]) == {"train"}
    turned = {"train": "cola_validation.csv", "test": ["cola_train.csv"]}
    frame = load_task({"task": "cola", "path": turned}, tmp_path)
    assert set(frame.loc[frame["part"] == "test", "prompt"].str[:3]) == {"ran"}


def test_files_are_what_the_task_makes_of_the_hubs_splits(tmp_path: Path) -> None:
    """MC-TACO trains on its test set and has no training set; the files of ETHICS say test where the hub does not."""
    taco = {"question": "How long?", "category": 0}
    for name, word in (("test", "ran"), ("dev", "sat")):
        records = [
            taco | {"sentence": f"He {word} {at} miles.", "answer": f"{answer} hours", "label": answer}
            for at in range(4)
            for answer in (0, 1)
        ]
        (tmp_path / f"{name}_9442.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    frame = load_task({"task": "mc-taco", "path": "*_9442.jsonl"}, tmp_path)
    parts = frame.groupby("part")["prompt"].apply(lambda texts: {text.split()[1] for text in texts}).to_dict()
    assert parts == {"train": {"ran"}, "test": {"sat"}}
    for name in CASES:
        splits = TASKS.find(name, tmp_path).hub.splits
        assert _part("x_train.csv", splits) == "train"
        assert _part("x_test.csv", splits) == ("train" if name == "mc-taco" else "test")
        assert _part("x_dev.csv", splits) == splits.get("validation", "train")


def test_units_keep_as_many_right_as_wrong(tmp_path: Path) -> None:
    virtue = [
        {"label": int(t == 0), "scenario": f"Person {p} acts. [SEP] trait {t}"} for p in range(5) for t in range(4)
    ]
    virtue += [{"label": 0, "scenario": f"Person 9 acts. [SEP] trait {t}"} for t in range(3)]
    (tmp_path / "v.jsonl").write_text("".join(json.dumps(record) + "\n" for record in virtue))
    found = load({"task": "ethics-virtue", "path": "v.jsonl"}, tmp_path)
    assert found.frame.groupby("unit")["truth"].agg(["sum", "size"]).to_numpy().tolist() == [[1, 2]] * 5
    assert found.counts == {"records": 23, "balanced_away": 13, "rows": 10}


def test_copies_go_and_contradictions_go_altogether(tmp_path: Path) -> None:
    texts = ["one", "one", "two", "two", "three", "four"]
    pd.DataFrame({"sentence": texts, "label": [1, 1, 0, 1, 1, 0]}).to_csv(tmp_path / "c.csv", index=False)
    found = load({"task": "cola", "path": "c.csv"}, tmp_path)
    assert found.counts == {"records": 6, "duplicates": 1, "contradictory": 2, "balanced_away": 1, "rows": 2}
    assert "two" not in set(found.frame["prompt"])


def test_size_takes_whole_groups(tmp_path: Path) -> None:
    quiz(tmp_path, rows=40)
    found = load(QUIZ | {"size": 10}, tmp_path)
    assert len(found.frame) == 10
    assert set(found.frame.groupby("group").size()) == {2}
    assert load_task(QUIZ | {"size": 10}, tmp_path).equals(found.frame)


def test_size_is_reached_where_one_label_is_rare(tmp_path: Path) -> None:
    """Cut first and balanced then, 200 items of which one in ten is positive left about 40."""
    rows = pd.DataFrame(
        {"sentence": [f"text {at}" for at in range(3000)], "label": [at % 10 == 0 for at in range(3000)]}
    )
    rows.astype({"label": int}).to_csv(tmp_path / "c.csv", index=False)
    found = load({"task": "cola", "path": "c.csv", "size": 200}, tmp_path)
    assert 160 <= len(found.frame) <= 200
    assert found.frame["truth"].mean() == 0.5
    assert found.counts["over_size"] == 400
    assert sum(found.counts[key] for key in ("rows", "over_size", "balanced_away")) == found.counts["records"]


def test_of_a_balanced_source_size_keeps_what_it_kept(tmp_path: Path) -> None:
    """Stored runs of such tasks stay hits: the first groups by hash, then as many right as wrong."""
    rows = pd.DataFrame([{"sentence": f"text {at}", "label": at % 2} for at in range(600)])
    rows.to_csv(tmp_path / "c.csv", index=False)
    every = load_task({"task": "cola", "path": "c.csv"}, tmp_path)
    expected = balanced(first_groups(every, 200, 0), 0)
    found = load_task({"task": "cola", "path": "c.csv", "size": 200}, tmp_path)
    assert found["id"].tolist() == expected["id"].tolist()


@pytest.mark.parametrize("size", [None, 10])
def test_no_item_left_is_a_sentence(size: int | None, tmp_path: Path) -> None:
    """Every question of one kind of answer alone goes."""
    rows = [{"label": label, "scenario": f"Person {label} acts. [SEP] trait {t}"} for label in (0, 1) for t in range(3)]
    (tmp_path / "v.jsonl").write_text("".join(json.dumps(record) + "\n" for record in rows))
    said = refused({"task": "ethics-virtue", "path": "v.jsonl", "size": size}, tmp_path)
    assert said == "task 'ethics-virtue': no item is left; bring rows of both classes"


# --- tasks of one's own ---


def test_an_own_binary_task_is_a_mapping(tmp_path: Path) -> None:
    frame = load_task(OWN, reviews(tmp_path))
    assert frame["truth"].value_counts().to_dict() == {0: 4, 1: 4}
    assert frame["prompt"].str.fullmatch(r"Review: text \d+").all()


@pytest.mark.parametrize("right", ["green", "b", "B", "1", 1])
def test_an_own_choice_task_names_the_right_option_in_any_way(right: Any, tmp_path: Path) -> None:
    frame = load_task(QUIZ, quiz(tmp_path, right))
    assert set(frame.loc[frame["truth"] == 1, "prompt"].str.rpartition("A: ")[2]) == {"green"}
    assert set(frame.loc[frame["truth"] == 0, "prompt"].str.rpartition("A: ")[2]) <= {"red", "blue"}
    assert len(frame) == 12


def test_an_own_task_is_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS, "_known", dict(TASKS._known))  # other tests list the tasks
    (tmp_path / "my_task.py").write_text(
        "from w2s_pref.data.tasks.task import Item, Question, task\n\n@task('signs')\ndef signs(rows=6):\n"
        "    for n in range(rows):\n        yield Item(group=str(n // 2), prompt=f'is {n} even?', label=1 - n % 2)\n"
        "        yield Question(group=str(n), stem=f'{n} + 1 = ', options=[str(n), str(n + 1)], right=1)\n"
    )
    frame = load_task({"task": "my_task.py:signs", "arguments": {"rows": 4}}, tmp_path)
    assert len(frame) == 12
    assert "signs" in TASKS
    assert load_task({"task": "signs", "arguments": {"rows": 4}})["prompt"].equals(frame["prompt"])


# --- bad input: every one a sentence ---

CHANGED = {
    "a label outside {0, 1}": ({}, {"y": 2}, "mine.csv, row 1: label y is '2', but it must be 0 or 1"),
    "one class": ({}, {"y": 1}, "all 12 items of its train part have the label 1; a task needs both classes"),
    "an empty text": ({}, {"review": ""}, "mine.csv, row 1: column 'review' is '', but it must be text"),
    "an empty group": ({}, {"who": " "}, "mine.csv, row 1: group 'who' is empty"),
    "a group that is no column": ({"group": "whom"}, {}, "mine.csv: there is no column 'whom'; did you mean 'who'?"),
    "a template without a column": ({"text": "Review"}, {}, "names no column; write {column}"),
    "a template with the label": ({"text": "{review} {y}"}, {}, "text shows {y}, which holds the answer"),
    "an unknown key": ({"lable": "y"}, {}, "unknown key 'lable'; did you mean 'label'?"),
    "options of a binary task": ({"options": "y"}, {}, "options is for kind: choice"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_bad_input_of_a_binary_task_is_a_sentence(what: str, tmp_path: Path) -> None:
    config, columns, sentence = CHANGED[what]
    assert sentence in refused(OWN | config, reviews(tmp_path, **columns))


def test_groups_of_files_that_pandas_wrote_are_the_same_in_both(tmp_path: Path) -> None:
    """A gap makes 7 into 7.0: as two groups, training and test would share what must stay together."""
    frame = pd.DataFrame({"review": [f"text {n}" for n in range(8)], "y": [0, 1] * 4, "who": [0, 0, 1, 1, 2, 2, 3, 3]})
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame.assign(review=frame["review"] + "!", who=frame["who"].astype(float)).to_csv(
        tmp_path / "test.csv", index=False
    )
    said = refused({**OWN, "path": {"train": "train.csv", "test": "test.csv"}}, tmp_path)
    assert "its train and test files share 4 groups" in said


def test_a_missing_number_is_not_shown_as_nan(tmp_path: Path) -> None:
    reviews(tmp_path).joinpath("mine.csv").unlink()
    frame = pd.DataFrame({"review": ["a", "b"], "y": [0, 1], "who": [1, 2], "stars": [1.5, None]})
    frame.to_parquet(tmp_path / "mine.parquet")
    config = {**OWN, "path": "mine.parquet", "text": "{review} {stars}"}
    assert "mine.parquet, row 2: column 'stars' is nan" in refused(config, tmp_path)


@pytest.mark.parametrize("key", ["path", "text", "label", "group"])
def test_an_own_task_needs_its_keys(key: str, tmp_path: Path) -> None:
    without = {name: value for name, value in OWN.items() if name != key}
    assert f"task mine: a task of your own needs {key}" in refused(without, reviews(tmp_path))


def test_a_right_answer_that_is_no_option_is_a_sentence(tmp_path: Path) -> None:
    message = refused(QUIZ, quiz(tmp_path, "violet"))
    assert "quiz.jsonl, row 1: the right answer 'violet' is not among the options ['red', 'green', 'blue']" in message
    for answer in (3, -1, 0.5, "yes", None):
        assert "is not among" in refused(QUIZ, quiz(tmp_path, answer))


def test_a_template_with_an_option_is_a_sentence(tmp_path: Path) -> None:
    assert "text shows {b}, which holds the answer" in refused(QUIZ | {"text": "{q} {b}"}, quiz(tmp_path))


def test_files_that_share_groups_are_a_sentence_or_lose_training_rows(tmp_path: Path) -> None:
    reviews(tmp_path)
    frame = pd.read_csv(tmp_path / "mine.csv")
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame.head(4).assign(review=["new 1", "new 2", "new 3", "new 4"]).to_csv(tmp_path / "test.csv", index=False)
    config = OWN | {"path": {"train": "train.csv", "test": "test.csv"}}
    assert "its train and test files share 2 groups" in refused(config, tmp_path)
    found = load(config | {"overlap": "drop"}, tmp_path)
    assert found.counts["overlap_dropped"] == 4
    groups = found.frame.groupby("part")["group"].apply(set)
    assert not groups["train"] & groups["test"]


@pytest.mark.parametrize("name", BINARY)
def test_a_split_without_labels_is_a_sentence(name: str, tmp_path: Path) -> None:
    column = {"boolq": "answer"}.get(name, "label")
    if name == "ethics-utilitarianism":
        pytest.skip("has no label column: the order of its columns is the label")
    pd.DataFrame(CASES[name].records).assign(**{column: -1}).to_parquet(tmp_path / "test.parquet")
    message = refused({"task": name, "path": "test.parquet"}, tmp_path)
    assert f"test.parquet, row 1: label {column} is -1" in message
    assert "a split without labels, often written -1, cannot be used" in message


def test_what_a_function_returns_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS, "_known", dict(TASKS._known))  # other tests list the tasks
    bad: dict[str, list[Any]] = {
        "the label is 2": [Item("g", "x", 2)],
        "the prompt is ' '": [Item("g", " ", 1)],
        "right is 5, but there are 2": [Question("g", "x", ["a", "b"], 5)],
        "right is 0.0, but there are 2": [Question("g", "x", ["a", "b"], 0.0)],  # type: ignore[arg-type]
        "the stem is 7, but it must be text": [Question("g", 7, ["a", "b"], 0)],  # type: ignore[arg-type]
        "the options are 'ab', but they must be a list": [Question("g", "x", "ab", 0)],
        "the options are ['a', None], but": [Question("g", "x", ["a", None], 0)],  # type: ignore[list-item]
        "the options are ['a', ''], but": [Question("g", "x", ["a", ""], 0)],
        "the unit is 7, but it must be text": [Item("g", "x", 1, 7)],  # type: ignore[arg-type]
        "the group is empty": [Item("", "x", 1)],
        "the group is 0, but it must be text": [Item(0, "x", 1)],  # type: ignore[arg-type]
        "the group is 7, but it must be text": [Item(("a", 7), "x", 1)],  # type: ignore[arg-type]
        "of type dict": [{"prompt": "x"}],
        "ZeroDivisionError": (1 / 0 for _ in range(1)),  # type: ignore[dict-item]
    }
    for sentence, made in bad.items():
        task("bad-task")(lambda made=made: made)
        assert sentence in refused("bad-task", tmp_path)


def test_numbers_of_numpy_and_truth_values_serve_in_what_a_function_returns() -> None:
    made = [Question("g", "x ", ["a", "b"], np.int64(1)), Item("h", "y", np.bool_(True)), Item("i", "z", False)]
    for number, one in enumerate(made):
        _check_made("mine", number, one)
    rows = [row for one in made for row in rows_of(one, "train", 0)]
    assert [(row.prompt, row.label, type(row.label)) for row in rows] == [
        ("x b", 1, int), ("x a", 0, int), ("y", 1, int), ("z", 0, int)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("bolq", "unknown task 'bolq'; did you mean 'boolq'?"),
        ({"task": "cola", "path": "nowhere.csv"}, "there is no file or folder nowhere.csv"),
        ({"task": "cola", "path": "no*.csv"}, "no file matches"),
        ({"task": "cola", "group": "sentence"}, "'group' is for a task of your own; write kind: binary"),
        ({"task": "cola", "arguments": {"n": 1}}, "arguments are for functions"),
        ({"task": "cola", "size": "ten"}, "should be a number, but this is the text 'ten'"),
    ],
)
def test_a_source_that_cannot_be_is_a_sentence(config: Any, sentence: str, tmp_path: Path) -> None:
    assert sentence in refused(config, tmp_path)


# --- seven tasks on their real data ---

REAL = {
    "boolq": "boolq/dev.parquet",
    "cosmosqa": "cosmosqa/valid.parquet",
    "openbookqa": ["openbookqa/dev.parquet", "openbookqa/test.parquet"],
    **{
        f"ethics-{name}": f"ethics/{name}_test.parquet"
        for name in ("justice", "deontology", "virtue", "utilitarianism")
    },
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_load_balanced(name: str) -> None:
    found = load({"task": name, "path": REAL[name]}, real_data())
    frame = found.frame
    assert (frame.groupby("part")["truth"].mean() == 0.5).all()
    assert frame["id"].is_unique
    assert not frame["prompt"].duplicated().any()
    assert len(frame) > 1900
    if TASKS.find(name, Path()).kind == "choice" or name == "ethics-virtue":
        assert (frame.groupby("unit")["truth"].mean() == 0.5).all(), "as many right as wrong in every question"
        assert (frame.groupby("unit")["group"].nunique() == 1).all()
    parts = frame.groupby("part")["group"].apply(set)
    assert len(set.union(*parts)) == sum(map(len, parts))


def test_the_yaml_of_the_docs_is_a_task(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block.split("```")[0]) for block in page.split("```yaml\n")[1:]]
    own = [block for block in blocks if "kind" in block]
    assert [block["kind"] for block in own] == ["binary", "choice"]
    assert all(len(yaml.safe_dump(block).splitlines()) <= 8 for block in own)
