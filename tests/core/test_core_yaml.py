"""YAML becomes values in one place: JSON's values, nothing by guess, nothing without limit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from w2s_pref.core.errors import SENTENCE, SENTENCES, W2SError
from w2s_pref.core.paths import path_problem
from w2s_pref.core.yaml_io import load_yaml, with_overrides
from w2s_pref.core.yaml_values import NotRead, dumped, values_of, words_of

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2020-13-45", "2020-13-45"),
        ("2020-01-02", "2020-01-02"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        (".5", ".5"),
        ("+1", "+1"),
        (".nan", ".nan"),
        ("-.inf", "-.inf"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("=", "="),
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-0.5", -0.5),
        ("-3", -3),
        ("true", True),
        ("null", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ('"\\ud83d\\ude00"', "😀"),
        ("[1, a, {b: null}]", [1, "a", {"b": None}]),
        ("a#b", "a#b"),
    ],
)
def test_a_word_is_text_unless_json_has_it(text: str, value: Any) -> None:
    found = values_of(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("? [a]\n: 1", "line 1: a key should be text, but this is a list or a mapping"),
        ("a: 1\n1: a", "line 2: a key should be text, but this is 1; quote it"),
        ("null: a", "a key should be text, but this is null"),
        ("a: !!int abc", "line 1: the tag !!int is not read"),
        ("a: !!float x", "the tag !!float is not read"),
        ("a: !!bool foo", "the tag !!bool is not read"),
        ("a: !!timestamp x", "the tag !!timestamp is not read"),
        ("a: !!python/object:os.system x", "the tag !!python/object:os.system is not read"),
        ("a: " + "9" * 5000, "line 1: a whole number of 5,000 digits is too large"),
        ("a: 9223372036854775808", "a whole number of 19 digits is too large"),
        ("a: 1e999", "1e999 is too large for a number"),
        ("[" * 500, "more than 32 deep"),
        ("b: &x {q: 1}\na:\n  <<: *x", "line 3: the merge key << is not read"),
        (BOMB, "line 5: there are more than 20,000 values, aliases written out"),
        ("a: &a 1\nb: [" + ", ".join(["*a"] * 101) + "]", "line 2: there are more than 100 aliases"),
        ("a: &a [*a]", "\\*a refers to an anchor that does not stand before it"),
        ("a: True", 'True may mean true or the text: write true, or "True"'),
        ("a: ~", "~ may mean null or the text"),
        ('a: "\\ud800"', "half of a pair of surrogates"),
        ('"\\udc00": a', "half of a pair of surrogates"),
        ('a: "\\UFFFFFFFF"', "names no character"),
        ("a: \0", "line 1: the character .* cannot stand in a text file"),
        ("%YAML 1.1\n---\na: 1", "directives"),
        ("a: 1\n---\nb: 2", "line 2: a second document"),
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' stands twice"),
        ("x" * 101 + ": 1", "a key has 101 characters"),
        ("a: {", "line 1: is not valid YAML: .*found '<stream end>'"),
        ("a: " + "x" * 200_000, "the text has 200,003 characters, and at most 200,000 are read"),
    ],
)
def test_what_is_no_json_in_other_clothes_is_refused_with_its_line(text: str, words: str) -> None:
    began = time.monotonic()
    with pytest.raises(NotRead, match=words) as caught:
        values_of(text)
    assert len(str(caught.value)) < 500
    assert time.monotonic() - began < 5


def test_what_is_written_is_read_back() -> None:
    words = ["1e-4", "no", "True", "null", "", "~", "x: y", "# q", "2020-01-01", "010", "<<", "=", "9" * 30, "😀"]
    value = {
        "words": [*words, " lead", "a\n", "\0", "é\u2028", 1e-5, 1e22, 1.0, 1, True, None],
        "shared": words,
        "b": {},
    }
    assert values_of(dumped(value)) == value


def test_overrides_are_read_as_recipes_are(tmp_path: Path) -> None:
    assert with_overrides({"a": {"b": {"c": 1}, "d": 2}}, ["a.b=null", "e=null"]) == {"a": {"d": 2}, "e": None}
    assert with_overrides({}, ["a.b=1e-4", "c=no", "d='x # y'"]) == {"a": {"b": 1e-4}, "c": "no", "d": "x # y"}
    for text, words in [
        ("store=/tmp/x #1", "what follows # would be read as a comment"),
        ("a=True", "may mean true"),
        ("a\udcff=1", "surrogates"),
        (f"{'k' * 101}=1", "a key has 101 characters"),
    ]:
        with pytest.raises(W2SError, match=words):
            with_overrides({}, [text])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("extends: [a]")
    with pytest.raises(W2SError, match=r"extends: should be the path of one recipe, but this is \['a'\]"):
        load_yaml(recipe)


@pytest.mark.parametrize("parent", ["{id: uid, prompt: q}", "{prompt: q}", "null"])
def test_below_columns_null_is_a_value(parent: str, tmp_path: Path) -> None:
    """It leaves a column out, in a recipe that extends another and on the command line."""
    (tmp_path / "parent.yaml").write_text(f"data: {{target: {{columns: {parent}, config: big}}}}")
    (tmp_path / "child.yaml").write_text(
        "extends: parent.yaml\ndata: {target: {columns: {id: null, prompt: q}, config: null}}"
    )
    left_out = {"data": {"target": {"columns": {"id": None, "prompt": "q"}}}}
    assert load_yaml(tmp_path / "child.yaml") == left_out
    words = ["data.target.columns.id=null", "data.target.columns.prompt=q", "data.target.config=null"]
    assert with_overrides(load_yaml(tmp_path / "parent.yaml"), words) == left_out
    assert with_overrides(left_out, ["data.target.columns=null"]) == {"data": {"target": {}}}


def test_answers_cannot_be_left_out_so_null_takes_their_names_away(tmp_path: Path) -> None:
    """A recipe with ``answers`` over one that maps chosen and rejected."""
    (tmp_path / "parent.yaml").write_text("columns: {chosen: better, rejected: worse, id: uid}")
    (tmp_path / "child.yaml").write_text("extends: parent.yaml\ncolumns: {chosen: null, rejected: null}")
    assert load_yaml(tmp_path / "child.yaml") == {"columns": {"id": "uid"}}
    words = ["columns.chosen=null", "columns.rejected=null"]
    assert with_overrides(load_yaml(tmp_path / "parent.yaml"), words) == {"columns": {"id": "uid"}}


def test_a_long_value_makes_no_long_message() -> None:
    assert len(str(W2SError("x" * 10_000))) < SENTENCE + 100
    many = W2SError([f"problem {number}" for number in range(3_000)])
    assert len(many.problems) == SENTENCES + 1
    assert many.problems[-1] == "… and 2,950 more such problems"
    with pytest.raises(W2SError) as caught:
        with_overrides({"a": "y" * 10_000}, ["a.b=" + "x" * 10_000])
    assert len(str(caught.value)) < 600


def test_paths_that_no_system_can_have() -> None:
    assert path_problem("runs/ü x/~y") is None
    assert path_problem("s3://bucket/folder") is None
    assert path_problem("~/x") is None
    for text, words in [
        ("a\0b", "NUL"),
        ("x/" * 3000, "6,000 bytes"),
        ("ä" * 128, "256 bytes"),
        ("~nobody-here/x", "no user"),
        ("\ud800", "surrogates"),
    ]:
        assert words in str(path_problem(text))


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\u2029"])
def test_what_ends_no_line_in_json_ends_none_here(sign: str) -> None:
    """PyYAML reads YAML 1.1, where these end lines: a comment's rest was read as keys, and a text lost the sign."""
    for text in (f"a: x{sign}y", f'a: "x{sign}y"', f"a: 'x{sign}y'", f"# c{sign}b: 1\na: x{sign}y", f"a: [x{sign}y]"):
        assert values_of(text)["a"] in (f"x{sign}y", [f"x{sign}y"]), text
    assert values_of(f"# c{sign}b: 1\n{sign}: 2") == {sign: 2}
    with pytest.raises(NotRead, match="line 2: key 'a' stands twice"):
        values_of(f"a: {sign}\na: 1")
    for value in (f"x{sign}y", sign, f" {sign} ", f"a: b{sign} # c", f"\U000f0000{sign}"):
        assert values_of(dumped({"a": value, sign: [value]})) == {"a": value, sign: [value]}
        assert sign not in dumped(value)
    text = f'a: "\\U000f0000 \\uDB80\\uDC01{sign}"'
    assert values_of(text) == {"a": f"\U000f0000 \U000f0001{sign}"}
    (word,) = words_of(f"# {sign}\na: {sign}b")
    assert (word.value, word.start) == (f"{sign}b", 7)
