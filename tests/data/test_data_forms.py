"""Every TRL preference form, every kind of source, columns by other names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from data_helpers import complaint, loaded, real, rows, truth_texts, write

from w2s_pref.core.errors import Unreachable
from w2s_pref.core.tables import PAIR_COLUMNS, canonical, neutral_order, pair_id
from w2s_pref.data.chat import common_prefix, group_key
from w2s_pref.data.files import read_file
from w2s_pref.data.sources import Source, load

USER = {"role": "user", "content": "What colour is the sky?"}
BLUE, GREEN = {"role": "assistant", "content": "Blue."}, {"role": "assistant", "content": "Green."}


def test_explicit_text(tmp_path: Path) -> None:
    frame = loaded(write(tmp_path / "x.jsonl", rows())).frame
    assert tuple(frame.columns) == PAIR_COLUMNS
    assert truth_texts(frame) == [(f"question {i}?", f" good answer {i}", f" bad answer {i}") for i in range(6)]
    assert set(frame["form"]) == {"text"}
    for row in frame.to_dict("records"):
        assert neutral_order(row["a"], row["b"])
        assert row["id"] == pair_id(row["prompt"], row["a"], row["b"])


def test_implicit_text_is_cut_where_trl_cuts_it_under_version_1(tmp_path: Path) -> None:
    from trl.data_utils import extract_prompt

    texts = [
        ("the sky is blue.", "the sky is green."),
        ("the sky is blue", "the sky is blue, they say"),
        ("sky: blue", "sky: bleak"),
        ("\n\nHuman: sky?\n\nAssistant: It is blue.", "\n\nHuman: sky?\n\nAssistant: It is red."),
    ]
    path = write(tmp_path / "x.jsonl", [{"chosen": one, "rejected": other} for one, other in texts])
    expected = [extract_prompt({"chosen": one, "rejected": other}) for one, other in texts]
    frame = load(Source(source=str(path), objective="target"), version=1).frame
    assert truth_texts(frame) == [(e["prompt"], e["chosen"], e["rejected"]) for e in expected]


def test_implicit_text_without_common_start(tmp_path: Path) -> None:
    frame = loaded(write(tmp_path / "x.jsonl", [{"chosen": "yes ", "rejected": "no "}])).frame
    assert truth_texts(frame) == [("", "yes ", "no ")]


def test_common_prefix_of_lists() -> None:
    assert common_prefix([1, 2, 3], [1, 2, 4]) == 2
    assert common_prefix([1, 2], [1, 2, 4]) == 1


def test_conversations(tmp_path: Path) -> None:
    explicit = {"prompt": [USER], "chosen": [BLUE], "rejected": [GREEN]}
    implicit = {"chosen": [USER, BLUE], "rejected": [USER, GREEN]}
    text_prompt = {"prompt": USER["content"], "chosen": [USER, BLUE], "rejected": [USER, GREEN]}
    bare = {"prompt": USER["content"], "chosen": [BLUE], "rejected": [GREEN]}
    wanted = [(canonical([USER]), canonical([BLUE]), canonical([GREEN]))]
    for number, row in enumerate([explicit, implicit, text_prompt, bare]):
        frame = loaded(write(tmp_path / f"{number}.jsonl", [row])).frame
        assert truth_texts(frame) == wanted
        assert frame["form"].tolist() == ["chat"]


def test_conversations_in_every_file_format(tmp_path: Path) -> None:
    items = [{"prompt": [USER], "chosen": [BLUE], "rejected": [GREEN], "note": "x"}]
    pd.DataFrame(items).to_parquet(tmp_path / "x.parquet")
    (tmp_path / "x.json").write_text(json.dumps(items))
    cells = {key: [json.dumps(value) if isinstance(value, list) else value] for key, value in items[0].items()}
    pd.DataFrame(cells).to_csv(tmp_path / "x.csv", index=False)
    frames = [loaded(tmp_path / name).frame for name in ("x.parquet", "x.json", "x.csv")]
    assert truth_texts(frames[0]) == [(canonical([USER]), canonical([BLUE]), canonical([GREEN]))]
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0])


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.jsonl", "x.parquet", "columns.json"])
def test_file_formats_agree(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame(rows())
    path = tmp_path / name
    match name:
        case "x.csv":
            table.to_csv(path, index=False)
        case "x.json":
            table.to_json(path, orient="records")
        case "columns.json":
            path.write_text(json.dumps(table.to_dict("list")))
        case "x.jsonl":
            table.to_json(path, orient="records", lines=True)
        case _:
            table.to_parquet(path)
    pd.testing.assert_frame_equal(loaded(name, tmp_path).frame, loaded(write(tmp_path / "ref.jsonl", rows())).frame)


def test_csv_text_stays_text(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('\ufeffid,prompt,chosen,rejected\n007,"a, ""b""",NA,None\n', encoding="utf-8")
    frame = loaded(tmp_path / "x.csv").frame
    assert frame["id"].tolist() == ["007"]
    assert truth_texts(frame) == [('a, "b"', "NA", "None")]


def test_saved_data_set_and_dictionary(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    plain = Dataset.from_list(rows())
    plain.save_to_disk(tmp_path / "one")
    DatasetDict({"train": plain, "test": plain.select(range(2))}).save_to_disk(tmp_path / "two")
    assert len(loaded("one", tmp_path).frame) == 6
    assert len(loaded("two", tmp_path).frame) == 6
    assert len(loaded("two", tmp_path, split="test").frame) == 2
    assert "no split 'tset'; did you mean 'test'?" in complaint("two", tmp_path, split="tset")
    assert "remove split: 'test'" in complaint("one", tmp_path, split="test")


def test_folder_of_files_and_pooled_sources(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    write(folder / "a.jsonl", rows(3))
    pd.DataFrame(rows(5)[3:]).to_csv(folder / "b.csv", index=False)
    (folder / "README.md").write_text("not data")
    assert len(loaded(folder).frame) == 5
    pooled = load(Source(source=["many/b.csv", "many/a.jsonl"], objective="target"), tmp_path)
    assert pooled.counts == {"read": 5, "rows": 5}
    assert set(pooled.frame["id"]) == set(loaded(folder).frame["id"])


def test_column_mapping_and_extra_columns(tmp_path: Path) -> None:
    item = {"q": "why?", "good": "so", "bad": "no", "n": 7, "cluster": "c1", "tier": 3, "junk": [1], "truth": 9}
    names = {"prompt": "q", "chosen": "good", "rejected": "bad", "id": "n", "group": "cluster"}
    pd.DataFrame([item]).to_parquet(tmp_path / "x.parquet")
    frame = loaded(tmp_path / "x.parquet", columns=names).frame
    assert tuple(frame.columns) == (*PAIR_COLUMNS, "tier")
    assert (frame["id"][0], frame["group"][0], frame["tier"][0]) == ("7", "c1", 3)
    assert truth_texts(frame) == [("why?", "so", "no")]


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", rows(2, id="same"))
    frame = loaded(path, columns={"id": None}).frame
    assert frame["id"].tolist() == [pair_id(row["prompt"], row["a"], row["b"]) for row in frame.to_dict("records")]
    implicit = loaded(path, columns={"id": None, "prompt": None}).frame
    assert implicit["prompt"].tolist() == ["", ""]


def test_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import pandas as pd
from datasets import Dataset
from w2s_pref.registry import dataset

def items(n):
    return [{"prompt": f"p{i}", "chosen": "yes", "rejected": "no"} for i in range(n)]

@dataset("test-mine")
def records(n: int = 2): return items(n)
def table(n: int = 2): return pd.DataFrame(items(n))
def columns(n: int = 2): return table(n).to_dict("list")
def arrow(n: int = 2): return Dataset.from_list(items(n))
def named(objective: str): return [{"prompt": objective, "chosen": "yes", "rejected": "no"}]
def wrong(): return 3
def broken(): raise KeyError("gone")
VALUE = 3
"""
    (tmp_path / "mine_for_test.py").write_text(code)
    expected = loaded("mine_for_test.py:records", tmp_path).frame
    for name in ("table", "columns", "arrow"):
        pd.testing.assert_frame_equal(loaded(f"mine_for_test.py:{name}", tmp_path).frame, expected)
    assert len(loaded("mine_for_test.py:records", tmp_path, options={"n": 5}).frame) == 5
    assert len(loaded("test-mine", tmp_path, options={"n": 4}).frame) == 4
    assert loaded("mine_for_test.py:named", tmp_path).frame["prompt"].tolist() == ["target"]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    pd.testing.assert_frame_equal(loaded("mine_for_test:records").frame, expected)
    assert "but this is of type int" in complaint("mine_for_test.py:wrong", tmp_path)
    assert "failed (mine_for_test.py, line 16): KeyError: 'gone'" in complaint("mine_for_test.py:broken", tmp_path)
    assert "cannot be called with options ['m']" in complaint("mine_for_test.py:records", tmp_path, options={"m": 1})
    assert "a data set is a function" in complaint("mine_for_test.py:VALUE", tmp_path)
    assert "did you mean 'records'?" in complaint("mine_for_test.py:record", tmp_path)


def test_hub_arguments_and_offline_message(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    calls = []

    def fake(*args: object, **keys: object) -> datasets.Dataset:
        calls.append((args, keys))
        return datasets.Dataset.from_list(rows(3))

    monkeypatch.setattr(datasets, "load_dataset", fake)
    assert len(loaded("someone/prefs", config="base", split="test", revision="abc").frame) == 3
    assert calls == [(("someone/prefs",), {"name": "base", "split": "test", "revision": "abc"})]

    def unreachable(*args: object, **keys: object) -> None:
        raise ConnectionError("Couldn't reach the hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(Unreachable):  # planning goes on without the data
        loaded("someone/prefs")
    message = complaint("someone/prefs", config="base")
    assert "the hub says: Couldn't reach the hub" in message
    assert "load_dataset('someone/prefs', 'base', split='train').save_to_disk('folder')" in message


def test_same_prompt_same_group(tmp_path: Path) -> None:
    same = [
        "How do I?",
        "  how do  I? ",
        "\n\nHuman: How do I?\n\nAssistant:",
        "\n\nHuman: how do I?\n\nAssistant: Well",
    ]
    keys = {group_key(prompt, "text") for prompt in same}
    keys.add(group_key(canonical([{"role": "user", "content": "How do I?"}]), "chat"))
    assert len(keys) == 1
    assert group_key("How do they?", "text") not in keys
    two = "\n\nHuman: a\n\nAssistant: b\n\nHuman: "
    assert group_key(two + "c\n\nAssistant:", "text") != group_key(two + "d\n\nAssistant:", "text")


def test_implicit_answers_that_start_alike_stay_in_one_group(tmp_path: Path) -> None:
    start = "\n\nHuman: how?\n\nAssistant:"
    items = [
        {"chosen": start + " I know", "rejected": start + " I think"},
        {"chosen": start + " You should", "rejected": start + " You must"},
    ]
    assert loaded(write(tmp_path / "x.jsonl", items)).frame["group"].nunique() == 1


def test_rows_without_prompt_are_grouped_by_shared_answers(tmp_path: Path) -> None:
    items = [("I ate.", "I fell."), ("I fell.", "He died."), ("We won.", "We lost."), ("No.", "Yes.")]
    path = write(tmp_path / "x.jsonl", [{"prompt": "", "chosen": one, "rejected": other} for one, other in items])
    groups = loaded(path).frame["group"].tolist()
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


def test_ethics_utilitarianism_by_mapping() -> None:
    (path,) = real("ethics/utilitarianism_test.parquet")
    done = loaded(path, columns={"chosen": "better", "rejected": "worse"})
    assert done.counts["rows"] == len(done.frame) > 4000
    by_text = {text: row["group"] for row in done.frame.to_dict("records") for text in (row["prompt"] + row["a"],)}
    for row in done.frame.to_dict("records"):
        assert by_text[row["prompt"] + row["a"]] == row["group"]


def test_shuffled_truth_changes_neither_ids_nor_order(tmp_path: Path) -> None:
    items = rows(40)
    swapped = [
        {**row, "chosen": row["rejected"], "rejected": row["chosen"]} if at % 3 else row for at, row in enumerate(items)
    ]
    plain, mixed = (loaded(write(tmp_path / f"{n}.jsonl", which)).frame for n, which in enumerate((items, swapped)))
    pd.testing.assert_frame_equal(plain.drop(columns="truth"), mixed.drop(columns="truth"))
    assert (plain["truth"] != mixed["truth"]).sum() == sum(bool(at % 3) for at in range(40))


def test_implicit_forms_with_swapped_truth(tmp_path: Path) -> None:
    texts = [("the sky is blue", "the sky is blue, they say"), ("a b", "a c"), ("x", "y")]
    one = loaded(write(tmp_path / "1.jsonl", [{"chosen": a, "rejected": b} for a, b in texts])).frame
    two = loaded(write(tmp_path / "2.jsonl", [{"chosen": b, "rejected": a} for a, b in texts])).frame
    pd.testing.assert_frame_equal(one.drop(columns="truth"), two.drop(columns="truth"))
    assert (one["truth"] + two["truth"]).eq(1).all()


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c"])
def test_what_ends_no_line_of_a_table(tmp_path: Path, sign: str) -> None:
    """Python's ``splitlines`` ends a line there: a header's delimiter was looked for before it alone."""
    row = {"prompt": f"a{sign}b", "chosen": f"c{sign}", f"re{sign}jected": f"{sign}e"}
    (tmp_path / "x.jsonl").write_text(f"{json.dumps(row, ensure_ascii=False)}\n" * 2, encoding="utf-8")
    lines = [";".join(reversed(cells)) for cells in (list(row), list(row.values()), list(row.values()))]
    (tmp_path / "x.csv").write_text("\n".join(lines), encoding="utf-8")
    for name in ("x.jsonl", "x.csv"):
        assert read_file(tmp_path / name).to_dict("records") == [row, row]
