"""Splits share no group, do not depend on the order of rows, and say what they cannot do."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from data_helpers import loaded, real, rows, write
from pydantic import ValidationError

from w2s_pref.core.errors import W2SError
from w2s_pref.core.strict import sentences
from w2s_pref.data.config import DataConfig, Prepared, content, prepare
from w2s_pref.data.split import alike, split

SIZES = {"gt": 40, "calibration": 10, "w2s": 30, "test": 20, "conflict": 30, "conflict_test": 10}


def table(groups: list[str], objective: str = "target") -> pd.DataFrame:
    """Pairs with the given groups."""
    items = [
        {"id": f"{objective}-{at}", "group": group, "form": "text", "prompt": group, "a": f"a{at}", "b": f"b{at}",
         "truth": at % 2, "objective": objective}
        for at, group in enumerate(groups)
    ]  # fmt: skip
    return pd.DataFrame(items)


def disjoint(frames: dict[str, pd.DataFrame]) -> bool:
    """No group and no id is in two splits."""
    return all(
        set(one[column]).isdisjoint(other[column])
        for one, other in itertools.combinations(frames.values(), 2)
        for column in ("group", "id")
    )


def many(n: int, seed: int = 0, start: int = 0) -> list[str]:
    """Groups of one to four rows."""
    draw = random.Random(seed)
    return [f"g{number}" for number in range(start, start + n) for _ in range(draw.choice([1, 1, 1, 2, 4]))]


def test_sizes_are_exact_and_groups_whole() -> None:
    target, conflict = table(many(100)), table(many(60, 1, start=70), "other")
    done = split(target, conflict, SIZES, seed=3)
    assert {name: len(frame) for name, frame in done.frames.items()} == SIZES
    assert list(done.frames) == ["gt", "calibration", "w2s", "test", "conflict", "conflict_test"]
    assert disjoint(done.frames)
    for name, frame in done.frames.items():
        source = conflict if name.startswith("conflict") else target
        assert source[source["group"].isin(frame["group"])]["id"].sort_values().tolist() == sorted(frame["id"])
        assert done.counts[f"split.{name}.rows"] == len(frame)


def test_same_prompts_for_both_objectives_are_shared_fairly() -> None:
    groups = [f"g{number}" for number in range(150)]
    done = split(table(groups), table(groups, "other"), SIZES)
    assert {name: len(frame) for name, frame in done.frames.items()} == SIZES
    assert disjoint(done.frames)


def test_order_of_rows_decides_nothing() -> None:
    target, conflict = table(many(100)), table(many(60, 1, start=70), "other")
    mixed = [frame.sample(frac=1, random_state=5) for frame in (target, conflict)]
    first, second = split(target, conflict, SIZES), split(mixed[0], mixed[1], SIZES)
    for name in SIZES:
        pd.testing.assert_frame_equal(first.frames[name], second.frames[name])
        assert content(first.frames[name]) == content(second.frames[name].iloc[::-1])


def test_truth_decides_nothing() -> None:
    target = table(many(100))
    sizes = {name: SIZES[name] for name in ("gt", "w2s", "test")}
    first, second = split(target, None, sizes), split(target.assign(truth=1 - target["truth"]), None, sizes)
    for name in sizes:
        assert first.frames[name]["id"].tolist() == second.frames[name]["id"].tolist()
        assert content(first.frames[name]) != content(second.frames[name])


def test_seed_decides() -> None:
    target = table(many(100))
    one, other = (split(target, None, {"gt": 30, "w2s": 30, "test": 30}, seed=seed).frames["gt"] for seed in (0, 1))
    assert set(one["id"]) != set(other["id"])


def test_too_few_pairs() -> None:
    with pytest.raises(W2SError, match=r"ask for 90 pairs \(gt 30 \+ w2s 30 \+ test 30\), but there are 50"):
        split(table([f"g{i}" for i in range(50)]), None, {"gt": 30, "w2s": 30, "test": 30})


def test_groups_that_do_not_fit() -> None:
    done = split(table([f"g{i // 2}" for i in range(200)]), None, {"gt": 41, "w2s": 40, "test": 40})
    assert (len(done.frames["gt"]), done.counts["split.gt.short"]) == (40, 1)
    with pytest.raises(W2SError, match="split test asks for 50 pairs but gets 0 without breaking a group"):
        split(table(["g0"] * 200), None, {"gt": 50, "w2s": 50, "test": 50})


def own_splits() -> dict[str, pd.DataFrame]:
    """Three splits of a user's; g3 is in gt and w2s, g4 in gt and test."""
    return {
        "gt": table(["g1", "g3", "g4", "g4"], "a"),
        "w2s": table(["g2", "g3"], "b"),
        "test": table(["g4", "g5"], "c"),
    }


def test_overlap_between_own_splits_is_an_error_with_examples() -> None:
    with pytest.raises(W2SError) as caught:
        split(own_splits(), None, {})
    assert caught.value.problems == [
        "splits test and gt share 1 groups (prompts), for example 'g4' (id c-0 in test, id a-2 in gt); remove the rows "
        "from one of them, or write overlap: drop to leave 2 rows out of gt",
        "splits gt and w2s share 1 groups (prompts), for example 'g3' (id a-1 in gt, id b-1 in w2s); remove the rows "
        "from one of them, or write overlap: drop to leave 1 rows out of w2s",
    ]


def test_overlap_can_be_dropped_and_test_keeps_its_rows() -> None:
    done = split(own_splits(), None, {}, overlap="drop")
    assert disjoint(done.frames)
    assert {name: sorted(frame["group"]) for name, frame in done.frames.items()} == {
        "gt": ["g1", "g3"], "w2s": ["g2"], "test": ["g4", "g5"]
    }  # fmt: skip
    assert (done.counts["split.gt.overlap_dropped"], done.counts["split.w2s.overlap_dropped"]) == (2, 1)
    with pytest.raises(W2SError, match="split w2s: every row shares its prompt with another split"):
        split({**own_splits(), "w2s": table(["g4"], "b")}, None, {}, overlap="drop")


def test_own_splits_avoid_the_conflicting_pool_and_calibration_is_carved() -> None:
    own = {"gt": table(many(40), "a"), "w2s": table(many(40, 1, 100), "b"), "test": table(many(40, 2, 200), "c")}
    conflict = table(many(300, 3), "other")
    done = split(own, conflict, {"calibration": 10, "test": 20, "conflict": 50})
    assert disjoint(done.frames)
    assert len(done.frames["gt"]) == len(own["gt"]) - 10
    assert (len(done.frames["calibration"]), len(done.frames["test"]), len(done.frames["conflict"])) == (10, 20, 50)


def config(text: dict[str, Any], **keys: Any) -> DataConfig:
    """A data part with sizes for three splits."""
    return DataConfig.model_validate({"target": text, "splits": {"gt": 4, "w2s": 4, "test": 4}, **keys})


def test_what_sources_without_a_prompt_share_is_said(tmp_path: Path) -> None:
    """Pairs without a prompt are kept apart within their source; of several sources nobody knows."""
    raw = {
        "target": {"source": "target.jsonl", "objective": "t"},
        "conflict": {"source": "conflict.jsonl", "objective": "c"},
        "splits": {"gt": 10, "w2s": 10, "test": 40, "conflict": 30, "conflict_test": 10},
    }

    def prepared(named: bool) -> Prepared:
        for name, words in (("target", ("good", "bad")), ("conflict", ("long", "short"))):
            pairs = [
                {"chosen": f"What {n} {words[0]}", "rejected": f"What {n} {words[1]}"}
                | ({"prompt": f"WHAT  {n}"} if named else {})
                for n in range(120)
            ]
            write(tmp_path / f"{name}.jsonl", pairs)
        return prepare(DataConfig.model_validate(raw), tmp_path)

    done = prepared(named=False)
    test, conflict = (set(done.splits[name]["prompt"]) for name in ("test", "conflict"))
    assert done.counts["split.conflict.like.test"] == len(test & conflict) > 0
    (note,) = done.notes
    assert f"{len(test & conflict)} of 30 pairs of conflict with test" in note
    apart = prepared(named=True)
    assert apart.notes == []
    assert not [name for name in apart.counts if ".like." in name]


def test_conversations_without_a_prompt_share_none(tmp_path: Path) -> None:
    said = [
        {side: [{"role": "assistant", "content": f"{side} {n}"}] for side in ("chosen", "rejected")} for n in range(4)
    ]
    frame = loaded(write(tmp_path / "x.jsonl", said)).frame
    assert alike({"gt": frame[:2], "test": frame[2:]}) == {}
    assert alike({"gt": frame[:2], "test": frame[1:]}) == {("gt", "test"): 1}


def test_prepare_from_files(tmp_path: Path) -> None:
    items = rows(40)
    write(tmp_path / "x.jsonl", items)
    write(tmp_path / "y.jsonl", items[::-1])
    one, two = (prepare(config({"source": name, "objective": "o"}), tmp_path) for name in ("x.jsonl", "y.jsonl"))
    assert one.hashes == two.hashes
    assert one.counts["target.read"] == 40
    assert disjoint(one.splits)
    assert len(set(one.hashes.values())) == 3


def test_prepare_own_splits_with_equal_ids(tmp_path: Path) -> None:
    items = rows(9)
    parts = {name: {"source": f"{name}.jsonl", "objective": "o"} for name in ("gt", "w2s", "test")}
    for at, name in enumerate(parts):
        write(tmp_path / f"{name}.jsonl", [{"id": i, **row} for i, row in enumerate(items[3 * at : 3 * at + 3])])
    with pytest.raises(W2SError, match="id '0' is in split gt and in split w2s; labels join pairs by id"):
        prepare(DataConfig.model_validate({"target": parts}), tmp_path)
    for source in parts.values():
        source["columns"] = {"id": None}
    done = prepare(DataConfig.model_validate({"target": parts}), tmp_path)
    assert {name: len(frame) for name, frame in done.splits.items()} == {"gt": 3, "w2s": 3, "test": 3}


def test_prepare_testbed_makes_enough_rows() -> None:
    both = {"conflict": {"source": "testbed", "objective": "helpful"}}
    sizes = {"gt": 50, "w2s": 50, "test": 30, "conflict": 50, "conflict_test": 20}
    done = prepare(config({"source": "testbed", "objective": "harmless"}, **both, splits=sizes))
    assert {name: len(frame) for name, frame in done.splits.items()} == sizes
    assert disjoint(done.splits)
    other = prepare(config({"source": "testbed", "objective": "harmless"}, **both, splits=sizes, seed=1))
    assert done.hashes != other.hashes


def test_a_function_of_one_split_is_told_how_many_rows_to_make() -> None:
    """Without sizes each split had 64 rows, whatever was meant."""
    target: dict[str, Any] = {
        name: {"source": "testbed", "objective": "harmless", "options": {"seed": at}}
        for at, name in enumerate(("gt", "w2s", "test"))
    }
    conflict: dict[str, Any] = {"source": "testbed", "objective": "helpful", "options": {"seed": 3}}
    parts = {"target": target, "conflict": {"conflict": conflict}}
    with pytest.raises(W2SError) as caught:
        prepare(DataConfig.model_validate(parts | {"splits": {"gt": 100}}))
    assert [text.partition(": ")[0] for text in caught.value.problems] == [
        "data.target.w2s",
        "data.target.test",
        "data.conflict.conflict",
    ]
    assert "write data.splits: {w2s: 1000}, or options: {rows: 1000}" in str(caught.value)
    for source, n in zip([*target.values(), conflict], (200, 150, 120, 90), strict=True):
        source["options"]["rows"] = n
    done = prepare(DataConfig.model_validate(parts | {"overlap": "drop"}))
    assert [done.counts[f"{key}.read"] for key in ("target.gt", "target.w2s", "target.test")] == [200, 150, 120]
    sized = {"gt": 100, "w2s": 90, "test": 80, "conflict": 70}
    for source in [*target.values(), conflict]:
        del source["options"]["rows"]
    done = prepare(DataConfig.model_validate(parts | {"overlap": "drop", "splits": sized}))
    assert {name: len(frame) for name, frame in done.splits.items()} == sized


def hh(**target: Any) -> Prepared:
    """The real HH pairs: harmless against helpful."""
    (helpful,) = real("hh/helpful.parquet")
    return prepare(
        DataConfig.model_validate(
            {
                "target": target,
                "conflict": {"source": helpful, "objective": "helpful", "on_bad_row": "drop"},
                "splits": {"gt": 3500, "w2s": 3500, "test": 3500, "conflict": 1000, "conflict_test": 400},
                "overlap": "drop",
            }
        )
    )


def test_real_hh_files_pooled() -> None:
    paths = real(*(f"hh/harmless_{name}.parquet" for name in ("train_gt", "train_w2s", "test")))
    done = hh(source=paths, objective="harmless", on_bad_row="drop")
    assert [len(frame) for frame in done.splits.values()] == [3500, 3500, 3500, 1000, 400]
    assert disjoint(done.splits)
    assert sum(frame["group"].nunique() for frame in done.splits.values()) < 11800  # prompts do repeat


def test_real_hh_files_one_a_split() -> None:
    names = {"gt": "train_gt", "w2s": "train_w2s", "test": "test"}
    files = {key: real(f"hh/harmless_{name}.parquet")[0] for key, name in names.items()}
    sources = {key: {"source": path, "objective": "harmless", "on_bad_row": "drop"} for key, path in files.items()}
    done = hh(**sources)
    assert disjoint(done.splits)
    assert done.counts["split.gt.overlap_dropped"] > 50
    with pytest.raises(W2SError, match=r"splits test and gt share \d+ groups"):
        prepare(DataConfig.model_validate({"target": sources}))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"target": {"sourc": "x", "objective": "o"}}, "target: unknown key 'sourc'; did you mean 'source'?"),
        ({"target": {"gt": {"source": "x", "objectiv": "o"}}}, "target.gt: unknown key 'objectiv'"),
        ({"splits": {}}, "splits needs a number of rows for gt, w2s, test"),
        ({"target": "pairs.csv"}, "target: should be a mapping of keys to values, but this is 'pairs.csv'"),
        ({"splits": {"gt": 0}}, "splits.gt: should be 1 or more, but this is 0"),
        ({"splits": {"train": 3}}, "unknown key 'train'"),
        ({"overlap": "dorp"}, "should be 'error' or 'drop', but this is 'dorp'; did you mean 'drop'?"),
        ({"conflict": {"source": "y", "objective": "o"}}, "splits needs a number of rows for conflict"),
        ({"splits": {**SIZES}}, "splits has conflict, conflict_test, but there is no source"),
        ({"splits": {**SIZES}, "conflict": {"source": "y", "objective": "o"}}, "both called 'o'"),
    ],
)
def test_mistakes_in_the_recipe(raw: dict[str, Any], said: str) -> None:
    whole = {"target": {"source": "x", "objective": "o"}, "splits": {"gt": 4, "w2s": 4, "test": 4}, **raw}
    with pytest.raises(ValidationError) as caught:
        DataConfig.model_validate(whole)
    assert said in " ".join(sentences(caught.value, "data"))
