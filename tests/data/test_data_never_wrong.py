"""Tables that look right and are not: each is read as it is meant, or refused with what to write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_helpers import complaint, loaded, rows, write

from w2s_pref.core.errors import W2SError
from w2s_pref.data.files import as_table, read_file
from w2s_pref.data.sources import Source, load


def csv(folder: Path, text: str) -> Path:
    """A CSV file as it is."""
    path = folder / "pairs.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("name", ["Question", "Prompt", "question", "instruction", "input", "prompts", "User Prompt"])
def test_a_prompt_that_would_not_be_read_is_refused(tmp_path: Path, name: str) -> None:
    path = csv(tmp_path, f"{name},chosen,rejected\nwhy?,a,b\n")
    theirs = f'"{name}"' if " " in name else name
    assert (
        f"pairs.csv: the column {name!r} looks like a prompt and is not used; write columns: {{prompt: {theirs}}}, or "
        "columns: {prompt: null} where it is none"
    ) in complaint(path)
    assert loaded(path, columns={"prompt": name}).frame["prompt"].tolist() == ["why?"]
    assert loaded(path, columns={"prompt": None}).frame["prompt"].tolist() == [""]


def test_what_stands_beside_the_prompt_is_said(tmp_path: Path) -> None:
    path = csv(tmp_path, "instruction,input,chosen,rejected,p\nadd,1 2,3,4,0.5\n")
    (beside, soft) = loaded(path, columns={"prompt": "instruction"}).notes
    assert "the prompt is 'instruction' alone; 'input' is not read" in beside
    assert "the column 'p' is not read as ground truth; write columns: {p: p}" in soft
    assert loaded(write(tmp_path / "x.jsonl", rows())).notes == []


@pytest.mark.parametrize("name", ["system", "System Prompt", "history"])
def test_what_is_said_before_the_prompt_and_not_read_is_said(tmp_path: Path, name: str) -> None:
    (beside,) = loaded(csv(tmp_path, f"prompt,{name},chosen,rejected\nadd,1 2,3,4\n")).notes
    assert f"the prompt is 'prompt' alone; {name!r} is not read" in beside


def test_splits_of_a_column_are_not_kept_which_is_said(tmp_path: Path) -> None:
    (said,) = loaded(csv(tmp_path, "prompt,split,chosen,rejected\nadd,train,3,4\n")).notes
    assert "the column 'split' is not read, and rows are cut anew" in said


def test_what_messages_hold_beside_their_text_is_said(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": "weather"}], "name": None}
    answer = [call, {"role": "tool", "content": "sun"}, {"role": "assistant", "content": "Sunny."}]
    row = {"prompt": "How is it?", "chosen": answer, "rejected": [{"role": "assistant", "content": "Who knows?"}]}
    path = write(tmp_path / "tools.jsonl", [row])
    (said,) = loaded(path).notes
    assert "messages of 1 rows hold 'tool_calls' beside role and content, which models are not shown" in said
    pd.read_json(path, lines=True).to_parquet(tmp_path / "tools.parquet")
    assert loaded(tmp_path / "tools.parquet").notes == [said.replace("jsonl", "parquet")]


@pytest.mark.parametrize(
    ("name", "role"),
    [("Group", "group"), ("group ", "group"), ("groups", "group"), ("group_id", "group"), ("ID", "id")],
)
def test_a_column_called_nearly_as_ours_is_said(tmp_path: Path, name: str, role: str) -> None:
    """Rows that should stay together would be spread over the splits, and nobody would know."""
    path = csv(tmp_path, f"prompt,chosen,rejected,{name}\nq,a,b,1\n")
    (said,) = loaded(path).notes
    assert f"the column {name!r} is not read as {role}; write columns: {{{role}: " in said
    for theirs in (name, None):
        assert loaded(path, columns={role: theirs}).notes == []


def test_what_a_folder_holds_and_is_not_read_is_said(tmp_path: Path) -> None:
    write(tmp_path / "many.jsonl", rows(1))
    folder = tmp_path / "many"
    (folder / "sub").mkdir(parents=True)
    (folder / ".cache").mkdir()
    write(folder / "sub" / "c.jsonl", rows(1))
    for name in ("b.jsonl.gz", "c.tsv", "README.md", ".cache/x.jsonl"):
        (folder / name).write_text("x")
    said = complaint(folder)
    assert "holds no data file (not read: b.jsonl.gz, c.tsv, sub); expected one of .csv" in said
    write(folder / "a.jsonl", rows(2))
    write(folder / "d.jsonl", rows(4)[2:])
    (note,) = loaded(folder).notes
    assert "b.jsonl.gz, c.tsv, sub looks like data and is not read" in note


def test_one_cell_more_than_the_header(tmp_path: Path) -> None:
    message = complaint(csv(tmp_path, "prompt,chosen,rejected\n0,why?,a,b\n1,how?,c,d\n"))
    assert (
        "line 2: 4 cells, but the header names 3 (prompt, chosen, rejected), as in 2 of 2 rows; name every column"
        in message
    )
    index = loaded(csv(tmp_path, ",prompt,chosen,rejected\n0,why?,a,b\n1,how?,c,d\n"))
    assert index.frame["prompt"].tolist() == ["why?", "how?"]


def test_headers_that_stand_twice(tmp_path: Path) -> None:
    message = complaint(csv(tmp_path, "prompt,chosen,rejected,chosen\nwhy?,a,b,c\n"))
    assert "two columns are called 'chosen' (columns 2, 4); rename or remove one" in message
    with pytest.raises(W2SError, match="two columns are called 'x'"):
        as_table(pd.DataFrame([[1, 2]], columns=["x", "x"]), "mine")


def test_files_put_together(tmp_path: Path) -> None:
    once = "prompt,chosen,rejected\nwhy?,a,b\n"
    message = complaint(csv(tmp_path, once + "\ufeff" + once))
    assert "pairs.csv, line 3: the header once more; remove that line" in message


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_the_delimiter_is_that_of_the_header(tmp_path: Path, sign: str) -> None:
    path = csv(tmp_path, sign.join(("prompt", "chosen", "rejected")) + "\n" + sign.join(('"a;,b"', "c", "d")) + "\n")
    assert loaded(path).frame["prompt"].tolist() == ["a;,b"]


def test_quotes_that_do_not_fit_are_refused_by_line(tmp_path: Path) -> None:
    message = complaint(csv(tmp_path, 'prompt,chosen,rejected\nwhy?,a,b\nhow?,"say "hi" now",d\n'))
    assert "line 3" in message
    assert 'each quote inside it twice ("")' in message
    good = csv(tmp_path, 'prompt,chosen,rejected\nhow?,"say ""hi"",\nnow",d\n')
    assert sorted(loaded(good).frame.loc[0, ["a", "b"]]) == ["d", 'say "hi",\nnow']
    long = csv(tmp_path, f"prompt,chosen,rejected\nhow?,{'x' * 200_000},d\n")
    assert len(loaded(long).frame) == 1


def test_keys_that_stand_twice_in_an_object(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"chosen": "a", "rejected": "b"}\n{"chosen": "a", "rejected": "b", "chosen": "c"}\n')
    assert "x.jsonl, line 2: the key 'chosen' stands twice in one object" in complaint(path)
    path = tmp_path / "x.json"
    path.write_text('[\n {"chosen": "a, \\"b\\": 1",\n "rejected": ["b", {"x": 1}],\n "x": 2, "rejected": "c"}]')
    assert "x.json cannot be read as json: the key 'rejected' stands twice in one object (line 4)" in complaint(path)
    path.write_text("[" * 100_000)
    assert "cannot be read as json" in complaint(path)


def test_names_with_blanks_are_quoted_in_advice(tmp_path: Path) -> None:
    message = complaint(csv(tmp_path, "Prompt,chosen answer,rejected\nwhy?,a,b\n"))
    assert 'write columns: {chosen: "chosen answer"}' in message


LLMBAR = [
    {"input": "why?", "output_1": "a", "output_2": "b", "label": 1},
    {"input": "how?", "output_1": "c", "output_2": "d", "label": 2},
    {"input": "who?", "output_1": "e", "output_2": "f", "label": 0},
]
COLUMNS = {"prompt": "input"}


def wins(frame: pd.DataFrame) -> dict[str, float]:
    """Prompt -> probability of the answer that is first in the alphabet."""
    p = frame["truth_p"] if "truth_p" in frame else frame["truth"]
    return {
        prompt: float(value if a < b else 1 - value)
        for prompt, a, b, value in zip(frame["prompt"], frame["a"], frame["b"], p, strict=True)
    }


def test_two_answers_and_a_label(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", LLMBAR)
    advice = "answers: [output_1, output_2] and label: {column: label, first: 1, second: 2, tie: 0}"
    assert advice in complaint(path, columns=COLUMNS)
    label = {"column": "label", "first": 1, "second": 2, "tie": 0}
    done = loaded(path, columns=COLUMNS, answers=["output_1", "output_2"], label=label)
    assert wins(done.frame) == {"why?": 1.0, "how?": 0.0, "who?": 0.5}
    assert done.counts == {"read": 3, "rows": 3, "ties": 1}
    assert "label" not in done.frame
    (note,) = loaded(path, columns={**COLUMNS, "chosen": "output_1", "rejected": "output_2"}).notes
    assert note.startswith("x.jsonl: 'output_1' is read as the better answer of every row, but there are two answers")
    assert advice in note
    del label["tie"]
    message = complaint(path, columns=COLUMNS, answers=["output_1", "output_2"], label=label)
    assert "row 3: label is '0', which label does not name (2, 1)" in message
    sure = loaded(path, columns=COLUMNS, answers=["output_1", "output_2"], label=label, on_bad_row="drop")
    assert "truth_p" not in sure.frame
    assert sure.counts["dropped.no_verdict"] == 1


def test_label_and_answers_go_together() -> None:
    label = {"column": "x", "first": 1, "second": 2}
    for keys, said in (
        ({"label": label}, "name them, answers"),
        ({"answers": ["a", "b"]}, "say which is better"),
        ({"answers": ["a", "b"], "label": label, "columns": {"p": "p"}}, "not by both"),
        ({"answers": ["a", "b"], "label": label, "columns": {"chosen": "a"}}, "leave these out"),
        ({"answers": ["a", "b"], "label": {**label, "second": 1}}, "different values"),
    ):
        with pytest.raises(ValueError, match=said):
            Source.model_validate({"source": "x.csv", "objective": "o", **keys})


def test_several_annotators(tmp_path: Path) -> None:
    items = [
        {"prompt": "why?", "r_a": "a", "r_b": "b", "one": "A", "two": "A", "three": "B", "four": "A"},
        {"prompt": "how?", "r_a": "c", "r_b": "d", "one": "B", "two": None, "three": "tie", "four": ""},
    ]
    label = {"column": ["one", "two", "three", "four"], "first": "A", "second": "B", "tie": "tie"}
    done = loaded(write(tmp_path / "x.jsonl", items), answers=["r_a", "r_b"], label=label)
    assert wins(done.frame) == {"why?": 0.75, "how?": 0.25}
    assert done.counts["soft"] == 2


def test_a_probability_and_one_row_a_vote(tmp_path: Path) -> None:
    items = [{**row, "p": p} for row, p in zip(rows(3), (0.75, 0.25, 1), strict=True)]
    path = write(tmp_path / "x.jsonl", items)
    done = loaded(path, columns={"p": "p"})
    assert wins(done.frame) == {"question 0?": 0.25, "question 1?": 0.75, "question 2?": 0.0}
    assert (done.frame["truth"] == (done.frame["truth_p"] >= 0.5)).all()
    assert "row 1: p is 1.5, not a probability" in complaint(
        write(tmp_path / "y.jsonl", [{**rows(1)[0], "p": 1.5}]), columns={"p": "p"}
    )
    (pair,) = rows(1)
    other = {**pair, "chosen": pair["rejected"], "rejected": pair["chosen"]}
    votes = write(tmp_path / "z.jsonl", [pair, pair, pair, other])
    assert "no valid row is left" in complaint(votes)
    counted = loaded(votes, repeated="votes")
    assert wins(counted.frame) == {"question 0?": 0.25}
    assert counted.counts == {"read": 4, "votes": 4, "rows": 1, "soft": 1}


def test_votes_of_one_id_are_on_one_pair(tmp_path: Path) -> None:
    first, second = rows(2)
    path = write(tmp_path / "x.jsonl", [{"id": 1, **first}, {"id": 1, **second}])
    assert "rows of id '1' hold different texts" in complaint(path, repeated="votes")


def test_votes_with_an_id_each_are_not_votes_on_one_pair(tmp_path: Path) -> None:
    """They stayed rows of their own, two of them contradicting the third."""
    (pair,) = rows(1)
    other = {**pair, "chosen": pair["rejected"], "rejected": pair["chosen"]}
    path = write(tmp_path / "x.jsonl", [{"id": at, **each} for at, each in enumerate((pair, pair, other))])
    said = complaint(path, repeated="votes")
    assert "x.jsonl: repeated: votes: no id stands twice" in said
    assert "columns: {id: null}" in said
    counted = loaded(path, repeated="votes", columns={"id": None})
    assert counted.counts == {"read": 3, "votes": 3, "rows": 1, "soft": 1}
    items = [{"id": at, **each} for at, each in zip("aab", (pair, other, pair), strict=True)]
    shared = write(tmp_path / "y.jsonl", items)
    assert loaded(shared, repeated="votes").counts == {"read": 3, "votes": 3, "rows": 2, "ties": 1}


def test_whole_numbers_with_gaps_stay_whole(tmp_path: Path) -> None:
    numbers = [2**60, 2**60 + 1, None]
    frame = pd.DataFrame(rows(3)).assign(
        id=pd.array(numbers, dtype="Int64"), length=pd.array([1, None, 3], dtype="Int64")
    )
    frame.to_parquet(tmp_path / "x.parquet")
    assert "row 3: id is empty" in complaint("x.parquet", tmp_path)
    done = loaded("x.parquet", tmp_path, on_bad_row="drop")
    assert sorted(done.frame["id"]) == [str(2**60), str(2**60 + 1)]
    np.testing.assert_array_equal(done.frame.sort_values("id")["length"], [1.0, np.nan])
    items = [{**row, "id": float(2**60)} for row in rows(1)]
    assert "is a float that lost digits" in complaint(write(tmp_path / "y.jsonl", items))


@pytest.mark.parametrize("role", ["id", "group"])
def test_keys_of_mixed_types(tmp_path: Path, role: str) -> None:
    items = [{**row, role: key} for row, key in zip(rows(3), (7, "7", None), strict=True)]
    message = complaint(write(tmp_path / "x.jsonl", items))
    assert (
        f"the column {role!r} mixes text ('7' in row 2) and numbers (7 in row 1); write every {role} as text" in message
    )
    lists = write(tmp_path / "y.jsonl", [{**row, role: [1]} for row in rows(2)])
    assert f"the {role} is [1], not text or a number" in complaint(lists)


def test_odd_characters(tmp_path: Path) -> None:
    items = rows(2)
    items[1] |= {"chosen": "a\0b"}
    assert "row 2: the chosen holds a NUL character at position 1" in complaint(write(tmp_path / "x.jsonl", items))
    path = tmp_path / "y.jsonl"
    path.write_text("".join(json.dumps({"id": f"n\ud800{i}", **row}) + "\n" for i, row in enumerate(rows(2))))
    assert "the id holds a broken character at position 1" in complaint(path)
    items[1] |= {"chosen": "caf\ufffd"}
    (note,) = loaded(write(tmp_path / "z.jsonl", items)).notes
    assert "1 rows (such as row 2) hold '\ufffd'" in note


def test_short_rows_are_bad_rows(tmp_path: Path) -> None:
    path = csv(tmp_path, "prompt,chosen,rejected\nwhy?,a\nhow?,c,d\n")
    assert "row 1: the rejected is missing" in complaint(path)
    assert load(Source(source=str(path), objective="o", on_bad_row="drop")).counts["rows"] == 1
    assert read_file(path)["rejected"].tolist() == [None, "d"]


def test_the_forms_on_the_page_are_forms() -> None:
    """Every target of docs/data.md is a source, or a source for each split."""
    import re

    import yaml

    from w2s_pref.data.config import TargetFiles

    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(target:.*?)```", page, flags=re.DOTALL)
    targets = [yaml.safe_load(block)["target"] for block in blocks]
    assert len(targets) >= 7
    for target in targets:
        (Source if "source" in target else TargetFiles).model_validate(target)
