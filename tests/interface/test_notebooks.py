"""The notebooks run from top to bottom, and what they show is what comes out.

Their code runs in this process, one notebook after another in one folder, so that the fourth finds the run of the
first. After a change: ``python scripts/notebooks.py``.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
import yaml
from conftest import ROOT

from w2s_pref.core.yaml_io import with_overrides
from w2s_pref.interface.recipes import overrides

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
#: Folders of the machine that stored them.
PLACES = re.compile(r"/(?:tmp|root|home|work|Users|private|var|opt)/")


def masked(text: str) -> str:
    """Text without its numbers, which differ a little from machine to machine, and without the space they took.

    Nor with lines that say how long something takes so far, which a busy machine prints.
    """
    text = re.sub(r"^… .* so far\n", "", text, flags=re.M)
    return re.sub(r"[\s─-]+", " ", re.sub(r"[-+]?\d[\d,.]*(e[-+]?\d+)?", "#", text)).strip()


def run_cell(source: str, names: dict[str, Any], where: str) -> tuple[str, Any]:
    """What a cell prints, and the value of its last line where that is an expression."""
    tree, value = ast.parse(source), None
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(tree, where, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), where, "eval"), names)
    return out.getvalue(), value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


def test_there_are_four() -> None:
    assert [file.stem[0] for file in NOTEBOOKS] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_and_shows_what_it_stores(file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = nbformat.read(file, as_version=4)
    nbformat.validate(book)
    assert not PLACES.search(re.sub(r"https?://\S+", "", file.read_text(encoding="utf-8")))
    monkeypatch.chdir(folder)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells, 1):
        printed, value = run_cell(cell.source, names, f"{file.name}, cell {number}")
        stored = "".join(each.text for each in cell.outputs if each.get("name") == "stdout")
        assert masked(printed) == masked(stored)
        assert not [each for each in cell.outputs if each.output_type == "error" or each.get("name") == "stderr"]
        shown = [each.data for each in cell.outputs if each.output_type == "execute_result"]
        assert len(shown) == (value is not None)
        for data in shown:
            assert ("text/html" in data) == hasattr(value, "_repr_html_")
            if file.stem.startswith("3") and "DataFrame" not in type(value).__name__:  # numbers alone: no model
                assert masked(data["text/plain"]) == masked(repr(value))


def test_the_lines_of_the_pages_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/python.md and the README as they stand, where "quickstart" is the small study of the first notebook."""
    monkeypatch.chdir(folder)
    small: dict[str, Any] = {}
    book = nbformat.read(NOTEBOOKS[0], as_version=4)
    exec(next(cell.source for cell in book.cells if cell.source.startswith("small")).partition("\nplan")[0], small)
    shipped = yaml.safe_load((ROOT / "recipes" / "quickstart.yaml").read_text(encoding="utf-8"))
    recipe = with_overrides(shipped, overrides(small["small"]))
    Path("quickstart").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    row = {
        "prompt": "user: which cleaner is best? bot:",
        "chosen": " use lemon.",
        "rejected": " use lye.",
        "topic": "x",
    }
    Path("my_pairs.csv").write_text(pd.DataFrame([row]).to_csv(index=False), encoding="utf-8")
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    readme = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    blocks += [block for block in readme if block.startswith("import w2s_pref as w2s")]
    assert len(blocks) == 8
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        for number, block in enumerate(blocks, 1):
            exec(compile(block, f"block {number}", "exec"), names)
    assert "did you mean 'explicit'? there are none, explicit" in out.getvalue()
    assert names["both"].incomparable == []
    assert names["again"].verdict == names["run"].verdict
    assert names["scored"]["topic"].tolist() == ["home", "home"]
