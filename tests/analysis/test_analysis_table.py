from __future__ import annotations

import contextlib
import json

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import random_table, table

from w2s_pref.analysis.deception.deception import analyze_deception
from w2s_pref.analysis.scores.panel import panel
from w2s_pref.analysis.scores.table import read_scores, validate_scores
from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import orient

ROLES = ("weak", "ceiling", "reference", "student")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_three_formats_read_the_same(tmp_path, suffix):
    scores = random_table(30)
    file = tmp_path / f"scores.{suffix}"
    if suffix == "csv":
        scores.to_csv(file, index=False)
    elif suffix == "jsonl":
        scores.to_json(file, orient="records", lines=True, double_precision=15)
    else:
        scores.to_parquet(file)
    read = read_scores(file)
    assert list(read.columns) == ["id", "group", "model", "seed", "delta", "tau", "objective", "kind"]
    assert np.allclose(read["delta"], scores["delta"], atol=1e-12)
    assert (read["tau"] == 1.0).all()


def test_ids_stay_text(tmp_path):
    (tmp_path / "s.csv").write_text("id,group,model,seed,delta\n007,01,m,0,1.5\n008,01,m,0,-1e-3\n")
    (tmp_path / "s.jsonl").write_text('{"id": 7, "group": 1.0, "model": "m", "seed": 0, "delta": "2"}\n\n')
    assert list(read_scores(tmp_path / "s.csv")["id"]) == ["007", "008"]
    row = read_scores(tmp_path / "s.jsonl").iloc[0]
    assert (row["id"], row["group"], row["delta"]) == ("7", "1", 2.0)


def test_spaces_before_a_cell_are_its_own_unless_the_header_has_them(tmp_path):
    rows = [{"id": " a", "group": " g", "model": "m", "seed": 0, "delta": 1.0}, {"id": "a", "group": " g"}]
    rows[1] = {**rows[0], **rows[1]}
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "s.csv").write_text("id,group,model,seed,delta\n a, g,m,0,1\na, g,m,0,1\n")
    pd.testing.assert_frame_equal(read_scores(tmp_path / "s.csv"), read_scores(tmp_path / "s.jsonl"))
    (tmp_path / "s.csv").write_text('id, group, "model", seed, delta\na, g, "one, two", 0, 1\n')
    assert read_scores(tmp_path / "s.csv").iloc[0].tolist()[:4] == ["a", "g", "one, two", 0]


def test_columns_that_are_the_index_of_a_table_in_memory():
    scores = random_table(30)
    pd.testing.assert_frame_equal(validate_scores(scores.set_index(["id", "model"])), validate_scores(scores))
    with pytest.raises(W2SError, match="column 'id' is missing; add it"):
        validate_scores(scores.assign(kind="reward_model").drop(columns="id"))


HEAD = "id,group,model,seed,delta"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["s.csv", "empty"]),
        (HEAD + "\n", ["s.csv", "no rows"]),
        ("id,group,model,seed,Delta\na,g,m,0,1\n", ["'delta' is missing", "rename 'Delta'"]),
        ("id,model,seed,delta\na,m,0,1\n", ["'group' is missing"]),
        (HEAD + "\na,g,m,0,1\nb,g,m,0,nan\n", ["row 2", "'b'", "delta is not a finite number", "'nan'"]),
        (HEAD + "\na,g,m,0,inf\n", ["row 1", "'a'", "finite"]),
        (HEAD + "\na,g,m,0,high\n", ["row 1", "'high'"]),
        (HEAD + "\na,g,m,0,\n", ["row 1", "delta"]),
        (HEAD + "\na,g,m,0.5,1\n", ["row 1", "seed is not a whole number", "'0.5'"]),
        (HEAD + "\na,g,m,007,1\n", ["row 1", "seed is not a whole number", "'007'"]),
        (HEAD + "\n,g,m,0,1\n", ["row 1", "id is empty"]),
        (HEAD + ",tau\na,g,m,0,1,0\n", ["row 1", "'a'", "tau is not above 0"]),
        (HEAD + ",tau\na,g,m,0,1,\n", ["row 1", "tau is not a finite number"]),
        (HEAD + "\na,g,m,0,1\nb,g,m,0,1\na,g,m,0,2\n", ["row 3", "'a'", "second row", "'m'"]),
        (HEAD + "\na,g,m,0,1\na,h,n,0,1\n", ["row 2", "'a'", "another group"]),
        (HEAD + ",delta\na,g,m,0,1,2\n", ["line 1", "two columns are called 'delta' (columns 5, 6)"]),
        (HEAD + "\na,g,m,0,1\n" + HEAD + "\nb,g,m,0,1\n", ["line 3", "the header once more", "remove that line"]),
        (HEAD + "\nx,a,g,m,0,1\n", ["line 2", "6 cells, but the header names 5"]),
        (HEAD + ",tau\na,g,m,0,1\n", ["line 2", "5 cells, but the header names 6"]),
        (HEAD + '\n"a,g,m,0,1\n', ["line 2", "unexpected end of data"]),
        (HEAD + "\na,g,m,0,1\0\n", ["line 2", "NUL"]),
        ("id,group,model,seed,delta\n" + "9" * 5000 + ",g,m,0,x\n", ["delta is not a finite number"]),
    ],
)
def test_bad_csv_is_a_sentence(tmp_path, text, words):
    file = tmp_path / "s.csv"
    file.write_text(text)
    with pytest.raises(W2SError) as error:
        read_scores(file)
    for word in [*words, "s.csv"]:
        assert word in str(error.value)


def test_all_mistakes_are_named_at_once(tmp_path):
    file = tmp_path / "s.csv"
    file.write_text(HEAD + "\na,g,m,x,1\nb,g,m,0,nan\nc,g,m,0,nan\n")
    with pytest.raises(W2SError) as error:
        read_scores(file)
    assert len(error.value.problems) == 2
    assert "1 more such rows" in error.value.problems[1]


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(W2SError, match=r"nowhere\.csv: there is no such file"):
        read_scores(tmp_path / "nowhere.csv")
    (tmp_path / "s.txt").write_text("x")
    with pytest.raises(W2SError, match="cannot tell its format"):
        read_scores(tmp_path / "s.txt")
    (tmp_path / "s.parquet").write_bytes(b"not parquet")
    with pytest.raises(W2SError, match=r"s\.parquet: cannot be read"):
        read_scores(tmp_path / "s.parquet")
    (tmp_path / "s.jsonl").write_text('{"id": 1}\n{oops\n')
    with pytest.raises(W2SError, match="line 2: it is not JSON"):
        read_scores(tmp_path / "s.jsonl")
    (tmp_path / "s.jsonl").write_text("[1]\n")
    with pytest.raises(W2SError, match="line 1: a list, but every line is one JSON object"):
        read_scores(tmp_path / "s.jsonl")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "a", "group": "g", "model": "m", "seed": 0, "delta": 1, "delta": -1}', "the key 'delta' stands twice"),
        ('{"id": ' + "9" * 5000 + "}", "a whole number of 5,000 digits; write it as text"),
        ("[" * 100_000, "nested more than 64 deep"),
        ('{"id": ' + "[" * 100 + "]" * 100 + "}", "nested more than 64 deep"),
        ('{"id": "\\ud800"}', "half of a pair of surrogates"),
    ],
)
def test_json_that_could_be_misread_is_a_sentence(tmp_path, line, words):
    (tmp_path / "s.jsonl").write_text(line + "\n")
    with pytest.raises(W2SError, match=words) as error:
        read_scores(tmp_path / "s.jsonl")
    assert "line 1" in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("sign", [";", "\t", "|"])
def test_other_delimiters_are_read(tmp_path, sign):
    (tmp_path / "s.csv").write_text((HEAD + "\na,g,m,0,1.5\n").replace(",", sign))
    assert list(read_scores(tmp_path / "s.csv")["delta"]) == [1.5]


def test_large_numbers_of_parquet_stay_whole(tmp_path):
    scores = random_table(3)
    scores = scores[scores["model"] == "weak"][:3].assign(id=pd.array([2**60, 2**60 + 1, None], dtype="Int64"))
    scores.to_parquet(tmp_path / "s.parquet")
    with pytest.raises(W2SError, match=r"row 3.*id is empty"):
        read_scores(tmp_path / "s.parquet")
    scores[:2].to_parquet(tmp_path / "s.parquet")
    assert list(read_scores(tmp_path / "s.parquet")["id"]) == [str(2**60), str(2**60 + 1)]


@pytest.mark.parametrize("place", [-1, -6, -20, -200, 4, 200])
def test_a_damaged_parquet_file_is_a_sentence_or_the_same_table(tmp_path, place):
    random_table(20).to_parquet(tmp_path / "s.parquet")
    good = read_scores(tmp_path / "s.parquet")
    damaged = bytearray((tmp_path / "s.parquet").read_bytes())
    damaged[place] ^= 0xFF
    (tmp_path / "s.parquet").write_bytes(damaged)
    with contextlib.suppress(W2SError):
        pd.testing.assert_frame_equal(read_scores(tmp_path / "s.parquet"), good)


def test_a_boolean_is_not_a_score(tmp_path):
    (tmp_path / "s.jsonl").write_text('{"id": "a", "group": "g", "model": "m", "seed": 0, "delta": true}\n')
    with pytest.raises(W2SError, match="finite number"):
        read_scores(tmp_path / "s.jsonl")


def test_unknown_model_names_the_nearest():
    with pytest.raises(W2SError, match="'ceilling'; did you mean 'ceiling'"):
        panel(validate_scores(random_table(20)), ("weak", "ceilling"))


def test_messages_about_models_name_the_file(tmp_path):
    random_table(20).to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(W2SError, match=r"mine\.csv: no rows for model 'weka'; did you mean 'weak'"):
        analyze_deception(read_scores(tmp_path / "mine.csv"), "weka", *ROLES[1:])


def test_unmatched_ids_and_seeds_are_refused():
    scores = validate_scores(random_table(20))
    hole = scores[~((scores["model"] == "student") & (scores["seed"] == 1) & (scores["id"] == "i0003"))]
    with pytest.raises(W2SError, match="model 'student' has no row for id 'i0003' under seed 1"):
        panel(hole, ROLES)
    three = validate_scores(random_table(20, seeds=3))
    fewer = three[~((three["model"] == "weak") & (three["seed"] == 2))]
    with pytest.raises(W2SError, match=r"'weak' has seeds \[0, 1\]"):
        panel(fewer, ROLES)


def test_a_model_with_one_seed_stands_under_all_and_says_so():
    scores = validate_scores(random_table(20, seeds=3))
    single = scores[(scores["model"] != "weak") | (scores["seed"] == 1)]
    found = panel(single, ROLES)
    assert (found.delta["weak"] == found.delta["weak"][:1]).all()
    assert "weak" in found.warnings[0]
    assert "one seed" in found.warnings[0]


def test_several_objectives_must_be_chosen():
    scores = random_table(20)
    both = pd.concat([scores.assign(objective="harmless"), scores.assign(objective="helpful")])
    both = validate_scores(both)
    with pytest.raises(W2SError, match="several objectives"):
        panel(both, ROLES)
    assert panel(both, ROLES, "helpful").size == 20
    with pytest.raises(W2SError, match="did you mean 'helpful'"):
        panel(both, ROLES, "helpfull")


def test_mixed_kinds_are_warned_of():
    scores = random_table(20).assign(kind="reward_model")
    scores.loc[scores["model"] == "weak", "kind"] = "dpo"
    assert any("several kinds" in line for line in panel(validate_scores(scores), ROLES).warnings)


def test_order_of_rows_changes_nothing():
    scores = random_table(120, group_size=2)
    one = analyze_deception(scores, *ROLES, resamples=100)
    two = analyze_deception(scores.sample(frac=1, random_state=3), *ROLES, resamples=100)
    assert json.dumps(one) == json.dumps(two)


def test_order_of_the_two_answers_changes_nothing():
    rng = np.random.default_rng(0)
    raw = pd.DataFrame({"id": list("abcdef"), "score_a": rng.normal(size=6), "score_b": rng.normal(size=6)})
    pairs = pd.DataFrame({"id": list("abcdef"), "group": "g", "truth": [1, 0, 1, 1, 0, 0]})
    swapped = raw.rename(columns={"score_a": "score_b", "score_b": "score_a"})
    turned = pairs.assign(truth=1 - pairs["truth"])
    assert np.array_equal(orient(raw, pairs)["delta"], orient(swapped, turned)["delta"])


def test_tables_from_memory_are_checked_too():
    bad = table({"weak": [1.0, np.nan]})
    with pytest.raises(W2SError, match="score table, row 2, id 'i0001'"):
        validate_scores(bad)


def test_a_boolean_is_no_seed(tmp_path):
    (tmp_path / "s.jsonl").write_text('{"id": "a", "group": "g", "model": "m", "seed": true, "delta": 1}\n')
    with pytest.raises(W2SError, match="seed is not a whole number"):
        read_scores(tmp_path / "s.jsonl")
