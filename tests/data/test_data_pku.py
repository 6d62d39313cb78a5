"""PKU-SafeRLHF: one pair, two verdicts, two objectives. Rows are in the schema of the hub; there is no hub here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from data_helpers import truth_texts, write
from datasets import Dataset

from w2s_pref.core.errors import Unreachable, W2SError
from w2s_pref.data.config import DataConfig, prepare
from w2s_pref.data.sources import Loaded, Source, load

HOW = "\n\nHuman: how? {}\n\nAssistant:"


def pku(n: int = 4, **changes: Any) -> list[dict[str, Any]]:
    """Rows in which answer 0 is better; of the even rows it is the safer one too, of the odd rows answer 1 is."""
    return [
        {
            "prompt": f"how? {i}",
            "response_0": f"so {i}",
            "response_1": f"no {i}",
            "is_response_0_safe": i % 2 == 0,
            "is_response_1_safe": True,
            "response_0_harm_category": {"Violence": i % 2 == 1},
            "better_response_id": 0,
            "safer_response_id": i % 2,
            **changes,
        }
        for i in range(n)
    ]


def source(path: str | Path | None = None, objective: str = "harmless", drop: bool = False, **options: Any) -> Source:
    given = options if path is None else {**options, "path": str(path)}
    return Source(source="pku-saferlhf", objective=objective, options=given, on_bad_row="drop" if drop else "error")


def loaded(items: list[dict[str, Any]], folder: Path, objective: str = "harmless", drop: bool = False) -> Loaded:
    return load(source(write(folder / "pku.jsonl", items), objective, drop))


def complaint(items: list[dict[str, Any]], folder: Path, objective: str = "harmless") -> str:
    with pytest.raises(W2SError) as caught:
        loaded(items, folder, objective)
    return str(caught.value)


def expected(objective: str, n: int = 4) -> list[tuple[str, str, str]]:
    found = []
    for i in range(n):
        answers = (f" so {i}", f" no {i}")
        first = i % 2 if objective == "harmless" else 0
        found.append((HOW.format(i), answers[first], answers[1 - first]))
    return found


@pytest.mark.parametrize("objective", ["helpful", "harmless"])
def test_each_objective_reads_its_own_verdict(tmp_path: Path, objective: str) -> None:
    done = loaded(pku(), tmp_path, objective)
    assert truth_texts(done.frame) == expected(objective)
    assert set(done.frame["objective"]) == {objective}
    assert set(done.frame["form"]) == {"text"}
    assert done.counts == {"read": 4, "rows": 4}


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "json", "csv", "folder"])
def test_every_kind_of_file_gives_the_same_pairs(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame(pku(20))
    path = tmp_path / f"rows.{kind}"
    if kind == "folder":  # two files of it are one table
        path.mkdir()
        frame[:7].to_parquet(path / "a.parquet")
        frame[7:].to_parquet(path / "b.parquet")
    else:
        makers: dict[str, Callable[[Path], object]] = {
            "jsonl": lambda file: write(file, pku(20)),
            "json": lambda file: frame.to_json(file, orient="records"),
            "parquet": frame.to_parquet,
            "csv": lambda file: frame.to_csv(file, index=False),
        }
        makers[kind](path)
    assert truth_texts(load(source(path)).frame) == expected("harmless", 20)


def test_a_pair_has_one_id_and_two_truths_where_the_verdicts_differ(tmp_path: Path) -> None:
    helpful, harmless = (loaded(pku(), tmp_path, name).frame for name in ("helpful", "harmless"))
    assert list(helpful["id"]) == list(harmless["id"])
    assert list(helpful["a"]) == list(harmless["a"])
    assert list(helpful["truth"] != harmless["truth"]) == [False, True, False, True]


def test_no_answer_is_in_the_prompt(tmp_path: Path) -> None:
    frame = loaded(pku(prompt="  how does it go? "), tmp_path).frame
    assert set(frame["prompt"]) == {"\n\nHuman: how does it go?\n\nAssistant:"}
    for row in frame.to_dict("records"):
        assert row["a"].strip() not in row["prompt"]
        assert row["b"].strip() not in row["prompt"]
        assert row["a"].startswith(" ")


def test_one_space_goes_before_an_answer(tmp_path: Path) -> None:
    frame = loaded(pku(1, response_0="\n so. ", response_1="no"), tmp_path).frame
    assert truth_texts(frame) == [(HOW.format(0), " so. ", " no")]


@pytest.mark.parametrize("verdict", [2, -1, None, "left", 0.5, True])
def test_a_verdict_that_names_no_answer_is_refused_with_its_row(tmp_path: Path, verdict: Any) -> None:
    items = pku()
    items[2]["safer_response_id"] = verdict
    message = complaint(items, tmp_path)
    assert "pku-saferlhf, row 3: safer_response_id is " in message
    assert f"{verdict!r}, not 0 or 1" in message
    assert "fix: say which of the two responses is preferred" in message
    assert loaded(items, tmp_path, "helpful").counts == {"read": 4, "rows": 4}


def test_an_empty_verdict_in_parquet_makes_the_others_floats(tmp_path: Path) -> None:
    frame = pd.DataFrame(pku())
    frame["safer_response_id"] = [0.0, 1.0, float("nan"), 1.0]
    frame.to_parquet(tmp_path / "x.parquet")
    done = load(source(tmp_path / "x.parquet", drop=True))
    assert done.counts == {"read": 4, "dropped.no_verdict": 1, "rows": 3}
    assert truth_texts(done.frame) == [row for at, row in enumerate(expected("harmless")) if at != 2]


def test_bad_rows_are_counted_by_reason(tmp_path: Path) -> None:
    items = pku(7)
    items[0]["better_response_id"] = 3
    items[1]["response_1"] = " " + items[1]["response_0"]
    items[2]["response_0"] = ""
    items[3]["prompt"] = None
    assert loaded(items, tmp_path, "helpful", drop=True).counts == {
        "read": 7,
        "dropped.empty_response": 1,
        "dropped.identical_responses": 1,
        "dropped.not_text": 1,
        "dropped.no_verdict": 1,
        "rows": 3,
    }
    message = complaint(items, tmp_path, "helpful")
    for said in ("row 1: better_response_id", "row 2: chosen and rejected are the same", "row 3: the chosen", "row 4"):
        assert said in message


def test_copies_with_exchanged_answers_that_contradict_are_dropped(tmp_path: Path) -> None:
    items = pku(3)
    turned = {**items[0], "response_0": items[0]["response_1"], "response_1": items[0]["response_0"]}
    agrees = {**turned, "safer_response_id": 1}
    assert loaded([*items, agrees], tmp_path).counts == {"read": 4, "duplicates": 1, "rows": 3}
    assert loaded([*items, turned], tmp_path).counts == {"read": 4, "contradictory": 2, "rows": 2}


def test_both_objectives_split_one_table_without_a_shared_prompt(tmp_path: Path) -> None:
    items = [{**row, "prompt": f"how? {at // 3}"} for at, row in enumerate(pku(300))]  # three pairs to a prompt
    path = write(tmp_path / "pku.jsonl", items)
    sizes = {"gt": 60, "w2s": 60, "test": 30, "conflict": 60, "conflict_test": 30}
    config = DataConfig.model_validate({"target": source(path), "conflict": source(path, "helpful"), "splits": sizes})
    splits = prepare(config).splits
    for name, size in sizes.items():
        assert len(splits[name]) == size
        assert set(splits[name].groupby("group").size()) == {3}, "a prompt's pairs stay together"
    prompts = [prompt for frame in splits.values() for prompt in set(frame["prompt"])]
    assert len(prompts) == len(set(prompts)) == 80


def test_a_path_starts_at_the_folder_of_the_recipe(tmp_path: Path) -> None:
    write(tmp_path / "pku.jsonl", pku())
    assert load(source("pku.jsonl"), tmp_path).counts["rows"] == 4
    with pytest.raises(W2SError, match=r"there is no file or folder pku\.jsonl"):
        load(source("pku.jsonl"), tmp_path / "elsewhere")


def test_what_does_not_go_together(tmp_path: Path) -> None:
    path = write(tmp_path / "pku.jsonl", pku())
    with pytest.raises(W2SError, match=r"no objective 'safe'; write objective: helpful \(better_response_id\)"):
        load(source(path, "safe"))
    named = load(Source(source="pku-saferlhf", objective="safe", options={"path": str(path), "objective": "harmless"}))
    assert truth_texts(named.frame) == expected("harmless")
    with pytest.raises(W2SError, match="subset is for the hub only; remove subset: 'alpaca-7b', or path"):
        load(source(path, subset="alpaca-7b"))
    with pytest.raises(W2SError, match="revision is for the hub only"):
        load(source(path, revision="main"))
    with pytest.raises(W2SError, match="remove split: 'test'"):
        load(source(path, split="test"))
    with pytest.raises(W2SError, match=r"no column 'response_1' \(columns: prompt, response_0, "):
        load(source(write(path, [{k: v for k, v in row.items() if k != "response_1"} for row in pku()])))


def test_the_split_of_a_saved_data_set(tmp_path: Path) -> None:
    from datasets import DatasetDict

    parts = {"train": Dataset.from_list(pku(4)), "test": Dataset.from_list(pku(2))}
    DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    assert truth_texts(load(source(tmp_path / "saved")).frame) == expected("harmless")
    assert truth_texts(load(source(tmp_path / "saved", split="test")).frame) == expected("harmless", 2)


def test_what_the_hub_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*names: str, **keys: Any) -> Dataset:
        asked.append((names, keys))
        return Dataset.from_list(pku())

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    done = load(source(objective="helpful", subset="alpaca-7b", split="test", revision="v1"))
    assert truth_texts(done.frame) == expected("helpful")
    load(source())
    assert asked == [
        (("PKU-Alignment/PKU-SafeRLHF",), {"name": "alpaca-7b", "split": "test", "revision": "v1"}),
        (("PKU-Alignment/PKU-SafeRLHF",), {"name": None, "split": "train", "revision": None}),
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [("pku-saferlhf", r"'PKU-Alignment/PKU-SafeRLHF' \(all\)"), ("hh-rlhf", r"'Anthropic/hh-rlhf' \(harmless-base\)")],
)
def test_an_unreachable_hub_is_the_same_sentence_for_both_hub_sources(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    def load_dataset(*_: str, **__: Any) -> Dataset:
        raise ConnectionError("Couldn't reach the hub\nmore lines")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    sentence = rf"{said} is not in the local cache and the hub could not be asked \(Couldn't reach the hub\); load it"
    with pytest.raises(Unreachable, match=sentence):
        load(Source(source=name, objective="harmless"))
