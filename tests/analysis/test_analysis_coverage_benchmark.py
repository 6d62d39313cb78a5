"""The coverage benchmark goes on where it was stopped, and judges as it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from script_helpers import load_script

FOLDER = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    for name in ("coverage_cells", "coverage_verdicts", "coverage_table"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return load_script("benchmarks/coverage")


def test_a_stopped_run_goes_on_and_a_cut_line_is_simulated_again(scripts, tmp_path, capsys):
    from coverage_cells import Cell

    file, cells = tmp_path / "cells.jsonl", [Cell("accuracies", k, 0.05, 40, worlds=2) for k in (2, 3)]
    scripts.append(file, scripts.run(cells[0], "a"))
    scripts.append(file, scripts.run(cells[1], "a"))
    whole = file.read_text()
    file.write_text(whole[:-40])
    assert [line["key"] for line in scripts.read(file)] == [cells[0].key]
    assert "cut off" in capsys.readouterr().err
    scripts.append(file, scripts.run(cells[1], "a"))
    lines = scripts.read(file)
    assert [line["key"] for line in lines] == [cell.key for cell in cells]
    again = scripts.run(cells[0], "a")["found"]
    assert again == lines[0]["found"], "the same cell gives the same numbers"


def test_batches_of_a_cell_add_up_to_the_whole(scripts, monkeypatch):
    from coverage_cells import Cell

    cell = Cell("accuracies", 2, 0.05, 40, worlds=5)
    whole = scripts.run(cell, "a")
    monkeypatch.setattr(scripts, "BATCH", 2)
    (parts,) = scripts.merged([scripts.run(cell, "a", first) for first in (0, 2, 4)])
    assert parts["found"] == whole["found"]
    assert parts["cell"] == whole["cell"]


def test_every_cell_has_a_key_of_its_own_and_a_table(scripts):
    from coverage_table import TABLES

    cells = scripts.grid()
    assert len({cell.key for cell in cells}) == len(cells)
    assert {cell.family for cell in cells} == set(TABLES)
    assert {cell.family for cell in scripts.quick()} <= set(TABLES)


def test_comments_do_not_make_cells_stale_and_code_does(scripts, tmp_path, monkeypatch):
    monkeypatch.setattr(scripts, "ROOT", tmp_path)
    monkeypatch.setattr(scripts, "RULE", ("rule.py",))

    def after(text: str) -> str:
        (tmp_path / "rule.py").write_text(text)
        return scripts.fingerprint("shares")

    first = after('"""Rule."""\n\n\ndef f(x):\n    """Twice."""\n    return 2 * x\n')
    assert after('"""The rule."""\ndef f(x):\n    # twice\n    """Double."""\n    return 2 * x\n') == first
    assert after('"""Rule."""\n\n\ndef f(x):\n    """Twice."""\n    return 3 * x\n') != first


@pytest.mark.parametrize(
    ("name", "covered", "defined", "fails"),
    [
        ("accuracy", 475, 500, False),  # 95.0: 92.1 to 97.1
        ("accuracy", 430, 500, True),  # 86.0: 81.6 to 89.7
        ("accuracy", 440, 500, True),  # 88.0: 83.8 to 91.5
        ("deception lift_smooth", 440, 500, False),  # may be 90
        ("accuracy", 500, 500, True),  # 98.9 to 100: too wide is wrong, too
        ("accuracy", 0, 0, False),
    ],
)
def test_a_cell_fails_where_its_band_misses(scripts, name, covered, defined, fails):
    from coverage_table import fails as judge

    assert judge(name, {"covered": covered, "defined": defined}) == fails
