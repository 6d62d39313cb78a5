"""Inspection, starter files and the registry."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from data_helpers import byte_tokenizer, loaded
from rich.console import Console

from w2s_pref.cli.starter import starter_files, write_files
from w2s_pref.core.errors import W2SError
from w2s_pref.core.references import is_reference
from w2s_pref.core.registry import Registry
from w2s_pref.core.tables import PAIR_COLUMNS
from w2s_pref.data.config import DataConfig, prepare
from w2s_pref.data.inspect import render_counts, show, visible


def odd_pairs() -> pd.DataFrame:
    """Text that would be markup, or drive a terminal, if it were let through."""
    row = ("[red]id[/red]", "g", "text", "[bold]why?[/bold]\n\x1b[2J", " yes\t[/]!", " no" * 120, 1, "o")
    return pd.DataFrame([dict(zip(PAIR_COLUMNS, row, strict=True))])


def shown(**keys: int) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(odd_pairs(), byte_tokenizer(), keys.get("max_length", 512), "truncate", 3, console, "[x] w2s")
    return console.export_text()


def test_rows_show_the_scored_position() -> None:
    text = shown()
    eos = byte_tokenizer().eos_token_id
    found = re.findall(r"(preferred|other), (\d+) tokens, scored at (\d+) \(id (\d+)\)", text)
    assert [name for name, *_ in found] == ["preferred", "other"]
    assert all(int(scored) == int(tokens) - 1 and int(token) == eos for _, tokens, scored, token in found)
    body = "".join(line.strip("│ ") for line in text.splitlines()).replace("|", "")
    assert "[bold]why?[/bold]⏎\\x1b[2J·yes⇥[/]!▶<|endoftext|>◀".replace("|", "") in body
    assert ", truncated" not in text


def test_text_from_data_is_never_markup_or_control() -> None:
    text = shown()
    assert "[red]id[/red]" in text
    assert "[x] w2s" in text
    assert "\x1b" not in text
    assert "\\x1b" in text
    assert "▶<|endoftext|>◀" in text
    assert "a preferred" in text
    assert "… 319 more" in text
    assert "truncated" in shown(max_length=20)
    assert visible("a \n\t\x07") == "a·⏎⇥\\x07"


def test_counts_of_splits() -> None:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    counts = {"target.read": 1200, "split.w2s.rows": 1, "split.w2s.overlap_dropped": 4}
    console.print(render_counts({"w2s": odd_pairs()}, counts))
    text = console.export_text()
    assert "w2s" in text
    assert "100%" in text
    assert "target.read 1,200, split.w2s.overlap_dropped 4" in text


def test_starter_files_run(tmp_path: Path) -> None:
    paths = write_files(tmp_path / "new", starter_files())
    assert sorted(path.name for path in paths) == ["harmless.jsonl", "helpful.jsonl", "my_data.py", "recipe.yaml"]
    assert sorted(item.name for item in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    recipe = yaml.safe_load(starter_files()["recipe.yaml"])
    done = prepare(DataConfig.model_validate(recipe["data"]), tmp_path / "new")
    assert {name: len(frame) for name, frame in done.splits.items()} == recipe["data"]["splits"]
    harmless, helpful = (loaded(f"{name}.jsonl", tmp_path / "new").frame for name in ("harmless", "helpful"))
    assert harmless["id"].tolist() == helpful["id"].tolist()
    assert (harmless["truth"] != helpful["truth"]).sum() == 6
    assert len(harmless) == 12


def test_starter_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "my_data.py").write_text("mine")
    with pytest.raises(W2SError, match=r"my_data.py: there already.*--force"):
        write_files(tmp_path, starter_files())
    assert [path.name for path in tmp_path.iterdir()] == ["my_data.py"]
    assert (tmp_path / "my_data.py").read_text() == "mine"
    write_files(tmp_path, starter_files(), force=True)
    assert "def cleaning" in (tmp_path / "my_data.py").read_text()
    (tmp_path / "file").write_text("")
    with pytest.raises(W2SError, match="cannot be written"):
        write_files(tmp_path / "file", starter_files())


def test_registry(tmp_path: Path) -> None:
    registry = Registry("metric", {"join": "os.path:join"})

    @registry.register("mean")
    def mean() -> int:
        return 3

    assert registry.names() == ["join", "mean"]
    assert "mean" in registry
    assert registry.find("mean", tmp_path) is mean
    assert registry.find("join", tmp_path)("a", "b") == "a/b"
    assert registry.find("os.path:join", tmp_path)("a", "b") == "a/b"
    with pytest.raises(
        W2SError, match=r"unknown metric 'maen'; did you mean 'mean'\? \(known: join, mean; a function of"
    ):
        registry.find("maen", tmp_path)
    for name in ("join", "mean"):
        with pytest.raises(W2SError, match="registered already"):
            registry.register(name)(lambda: None)
    with pytest.raises(W2SError, match="letters, digits"):
        registry.register("a/b")


def test_references() -> None:
    assert all(map(is_reference, ("pkg.mod:attr", "path/to/file.py:attr", "./my file.py:f")))
    assert not any(map(is_reference, ("testbed", "owner/name", "C:/x.csv", "a-b:c", "file.py", "mod:attr.x")))


def test_a_file_runs_once_and_again_when_it_changes(tmp_path: Path) -> None:
    registry = Registry("data set")
    path = tmp_path / "once.py"
    path.write_text("def f(): return 1\n")
    first = registry.find("once.py:f", tmp_path)
    assert registry.find("once.py:f", tmp_path) is first
    path.write_text("def f(): return 22\n")
    path.write_text("1 / 0\n")
    with pytest.raises(W2SError, match="ZeroDivisionError"):
        registry.find("once.py:f", tmp_path)
