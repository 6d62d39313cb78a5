"""Bad input ends in sentences that name file, row, id and fix."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from data_helpers import complaint, loaded, real, rows, write
from pydantic import ValidationError

from w2s_pref.core.errors import W2SError
from w2s_pref.core.strict import sentences
from w2s_pref.data.sources import Source, load

USER = {"role": "user", "content": "sky?"}


def one_bad(folder: Path, **changes: Any) -> str:
    """The message for a file whose third row is changed."""
    items = [{"id": f"n{i}", **row} for i, row in enumerate(rows())]
    items[2] |= changes
    return complaint(write(folder / "bad.jsonl", items))


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "pairs.jsonl", rows())
    message = complaint("pears.jsonl", tmp_path)
    assert f"there is no file or folder pears.jsonl in {tmp_path}" in message
    assert "did you mean 'pairs.jsonl'?" in message
    assert "check the path" in complaint("no/such/place.csv", tmp_path)


def test_unknown_name_and_unknown_ending(tmp_path: Path) -> None:
    assert "unknown data set 'testbet'; did you mean 'testbed'?" in complaint("testbet")
    (tmp_path / "x.txt").write_text("hello")
    assert "has the ending '.txt'; expected one of .csv, .json, .jsonl, .parquet" in complaint("x.txt", tmp_path)
    assert "there is no file nothing.py" in complaint("nothing.py:f", tmp_path)
    assert "there is no module 'no_such_module'" in complaint("no_such_module:f")


def test_missing_column_shows_the_mapping(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"better": "a", "worse": "b", "question": "q"}])
    message = complaint(path)
    assert "x.jsonl: no column 'chosen' (columns: better, worse, question); the nearest is 'better'" in message
    assert "write columns: {rejected: worse}" in message


def test_wrong_mapping_names_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"question": "q", "answer_good": "a", "rejected": "b"}])
    message = complaint(path, columns={"chosen": "answer_god", "prompt": "question"})
    assert "no column 'answer_god'" in message
    assert "write columns: {chosen: answer_good, prompt: question}" in message


def test_unknown_role_in_mapping() -> None:
    with pytest.raises(ValidationError) as caught:
        Source(source="x.csv", objective="o", columns={"chosn": "a"})
    assert "unknown column 'chosn'; did you mean 'chosen'?" in sentences(caught.value, "r.yaml")[0]
    with pytest.raises(ValidationError, match="cannot be left out"):
        Source(source="x.csv", objective="o", columns={"chosen": None})
    with pytest.raises(ValidationError, match="did you mean 'source'"):
        Source.model_validate({"sorce": "x.csv", "objective": "o"})
    with pytest.raises(ValidationError, match="name at least one"):
        Source(source=[], objective="o")


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.json", "x.parquet"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    assert f"{tmp_path / name} is empty (0 bytes)" in complaint(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "text"), [("x.csv", "prompt,chosen,rejected\n"), ("x.jsonl", "\n\n"), ("x.json", "[]")]
)
def test_no_rows(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert f"{name}: no rows" in complaint(name, tmp_path)


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert "holds no data file" in complaint("none", tmp_path)


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_empty_response(tmp_path: Path, empty: str) -> None:
    message = one_bad(tmp_path, rejected=empty)
    assert "bad.jsonl, row 3 (id 'n2'): the rejected response is empty" in message
    assert "fix: write the missing response" in message
    assert "on_bad_row: drop" in message


def test_dialogue_without_answer_is_an_empty_response(tmp_path: Path) -> None:
    start = "\n\nHuman: how?\n\nAssistant:"
    path = write(tmp_path / "x.jsonl", [{"chosen": start, "rejected": start + " So."}])
    assert "row 1: the chosen response is empty" in complaint(path)


def test_identical_responses(tmp_path: Path) -> None:
    message = one_bad(tmp_path, chosen="the same", rejected=" the same ")
    assert "row 3 (id 'n2'): chosen and rejected are the same text 'the same'" in message
    chat = [USER, {"role": "assistant", "content": "Blue."}]
    path = write(tmp_path / "x.jsonl", [{"chosen": chat, "rejected": chat}])
    assert "same conversation" in complaint(path)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "the chosen is 5 (type int), not text"),
        (None, "the chosen is missing"),
        ({"a": 1}, "the chosen is not a list of {role, content}"),
        ([{"role": "assistant", "content": None}], "turn 1 of the chosen, of 'assistant', has the content None"),
    ],
)
def test_not_text(tmp_path: Path, value: Any, said: str) -> None:
    assert f"row 3 (id 'n2'): {said}" in one_bad(tmp_path, chosen=value)


def test_a_file_of_another_kind_than_its_name_says(tmp_path: Path) -> None:
    write(tmp_path / "pairs.json", rows())
    assert "pairs.json, one object a line is JSON Lines: name the file .jsonl" in complaint("pairs.json", tmp_path)
    (tmp_path / "pairs.jsonl").write_bytes(gzip.compress((tmp_path / "pairs.json").read_bytes()))
    assert "pairs.jsonl, it is packed by gzip; unpack it" in complaint("pairs.jsonl", tmp_path)
    assert "patterns are not read; name the files in a list" in complaint("./pairs*.jsonl", tmp_path)


def test_a_flipped_bit_in_what_pandas_notes_in_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]}).astype(object)
    frame.to_parquet(tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    note = table.schema.metadata[b"pandas"].replace(b'"unicode"', b'"unicoee"').replace(b'"object"', b'"objecu"')
    assert note != table.schema.metadata[b"pandas"]
    pq.write_table(table.replace_schema_metadata({b"pandas": note}), tmp_path / "x.parquet")
    assert "cannot be read as parquet: data type '" in complaint("x.parquet", tmp_path)


def test_numbers_in_parquet(tmp_path: Path) -> None:
    pd.DataFrame({"prompt": ["a"], "chosen": [1.5], "rejected": [2.5]}).to_parquet(tmp_path / "x.parquet")
    assert "row 1: the chosen is 1.5 (type float), not text" in complaint("x.parquet", tmp_path)


def test_missing_prompt_and_broken_character(tmp_path: Path) -> None:
    assert "the prompt is missing" in one_bad(tmp_path, prompt=None)
    assert "the chosen holds a broken character at position 3" in one_bad(tmp_path, chosen="abc\ud83d")


def test_text_beside_conversation(tmp_path: Path) -> None:
    answer = [{"role": "assistant", "content": "Blue."}]
    assert "the rejected is text, but the other response is a conversation" in one_bad(tmp_path, chosen=answer)


def test_conversation_without_assistant_turn(tmp_path: Path) -> None:
    good = {"chosen": [USER, {"role": "assistant", "content": "Blue."}]}
    path = write(tmp_path / "x.jsonl", [{**good, "rejected": [USER, {"role": "user", "content": "well?"}]}])
    message = complaint(path)
    assert "x.jsonl, row 1: the rejected response has no assistant turn (only user)" in message
    assert "fix: each response needs a message with role 'assistant'" in message
    silent = write(tmp_path / "y.jsonl", [{**good, "rejected": [USER, {"role": "assistant", "content": " "}]}])
    assert "the rejected response is empty" in complaint(silent)


def test_duplicate_ids(tmp_path: Path) -> None:
    items = [{"id": i, **row} for i, row in enumerate(rows())]
    items[4]["id"] = 1
    message = complaint(write(tmp_path / "x.jsonl", items))
    assert "x.jsonl, row 5: id '1' is taken already by x.jsonl, row 2" in message
    assert "columns: {id: null}" in message
    write(tmp_path / "y.jsonl", items[:1])
    write(tmp_path / "z.jsonl", items[:4])
    with pytest.raises(W2SError, match=r"y.jsonl, row 1: id '0' is taken already by z.jsonl, row 1"):
        load(Source(source=["z.jsonl", "y.jsonl"], objective="o"), tmp_path)


def test_missing_id_and_group(tmp_path: Path) -> None:
    assert "row 3: id is empty" in one_bad(tmp_path, id=None)
    items = [{"group": "g", **row} for row in rows()]
    items[0]["group"] = ""
    assert "row 1: group is empty" in complaint(write(tmp_path / "x.jsonl", items))


def test_copies_are_dropped_and_counted(tmp_path: Path) -> None:
    items = rows(4)
    swapped = {**items[3], "chosen": items[3]["rejected"], "rejected": items[3]["chosen"]}
    path = write(tmp_path / "x.jsonl", [*items, items[0], items[0], swapped, items[3]])
    done = loaded(path)
    assert done.counts == {"read": 8, "duplicates": 2, "contradictory": 3, "rows": 3}
    assert sorted(done.frame["prompt"]) == [f"question {i}?" for i in range(3)]


def test_copies_with_ids_of_their_own_stay(tmp_path: Path) -> None:
    items = [{"id": i, **row} for i, row in enumerate(rows(2) * 2)]
    done = loaded(write(tmp_path / "x.jsonl", items))
    assert done.counts == {"read": 4, "rows": 4}
    assert done.frame["group"].nunique() == 2


def test_ten_problems_and_how_many_more(tmp_path: Path) -> None:
    message = complaint(write(tmp_path / "x.jsonl", rows(25, chosen="")))
    assert message.count("the chosen response is empty") == 10
    assert "and 15 more problems" in message


def test_bad_rows_can_be_dropped(tmp_path: Path) -> None:
    items = rows(6)
    items[1]["chosen"], items[2]["rejected"], items[3]["chosen"] = "", items[2]["chosen"], None
    done = loaded(write(tmp_path / "x.jsonl", items), on_bad_row="drop")
    assert done.counts == {
        "read": 6,
        "dropped.empty_response": 1,
        "dropped.identical_responses": 1,
        "dropped.not_text": 1,
        "rows": 3,
    }
    assert "no valid row is left: read 2, empty response 2, rows 0" in complaint(
        write(tmp_path / "y.jsonl", rows(2, chosen="")), on_bad_row="drop"
    )


def test_row_numbers_of_jsonl_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('\n{"prompt": "a", "chosen": "b", "rejected": ""}\n')
    assert "x.jsonl, row 2: the rejected response is empty" in complaint(path)
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": \n')
    assert "line 2: it is not JSON" in complaint(path)
    path.write_text("[1]\n")
    assert "line 1: a list, but every line is one JSON object" in complaint(path)


def test_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 but not really")
    assert "x.parquet cannot be read as parquet" in complaint("x.parquet", tmp_path)
    (tmp_path / "x.json").write_text("[{]")
    assert "x.json cannot be read as json" in complaint("x.json", tmp_path)
    (tmp_path / "y.json").write_text("3")
    assert "expected a list of dictionaries" in complaint("y.json", tmp_path)
    (tmp_path / "z.json").write_text('{"chosen": ["a"], "rejected": []}')
    assert "the columns differ in length" in complaint("z.json", tmp_path)
    (tmp_path / "x.csv").write_bytes(b"prompt,chosen,rejected\n\xff\xfe,a,b\n")
    assert "is not UTF-8 text" in complaint("x.csv", tmp_path)
    (tmp_path / "y.csv").write_text("a,b\n1,2,3,4\n1\n1,2,3,4,5,6\n")
    assert "line 2: 4 cells, but the header names 2 (a, b), as in 2 of 3 rows" in complaint("y.csv", tmp_path)


@pytest.mark.parametrize("keys", [{"config": "x"}, {"split": "x"}, {"revision": "x"}, {"options": {"a": 1}}])
def test_keys_that_a_file_does_not_read(tmp_path: Path, keys: dict[str, Any]) -> None:
    write(tmp_path / "x.jsonl", rows())
    assert f"remove {next(iter(keys))}:" in complaint("x.jsonl", tmp_path, **keys)


def test_keys_that_a_function_does_not_read() -> None:
    assert "revision is for hub data sets only" in complaint("testbed", revision="main")


def test_real_hh_files_hold_empty_responses() -> None:
    paths = real(*(f"hh/harmless_{name}.parquet" for name in ("train_gt", "train_w2s", "test")))
    with pytest.raises(W2SError, match=r"harmless_train_gt.parquet, row \d+: the \w+ response is empty") as caught:
        load(Source(source=paths, objective="harmless"))
    assert "and 7 more problems" in str(caught.value)
    done = load(Source(source=paths, objective="harmless", on_bad_row="drop"))
    assert done.counts == {"read": 12000, "dropped.empty_response": 17, "rows": 11983}
    assert done.frame["id"].is_unique
    assert 0.48 < done.frame["truth"].mean() < 0.52
