"""Lists and tables at 80 columns: nothing is cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from w2s_pref.core.text_table import TextTable
from w2s_pref.data.tasks.show import task_lines
from w2s_pref.data.tasks.task import TASKS, Task


def test_the_list_of_tasks_fits_and_names_everything() -> None:
    """What comes with the package: other tests of this process register tasks of their own."""
    names = sorted(TASKS.builtin)
    lines = task_lines(names)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "…" not in text
    for name in names:
        task = TASKS.find(name, Path())
        assert isinstance(task, Task)
        assert f"\n{name} " in text
        assert task.hub.name in text
        assert task.group in text
        assert (task.hub.config or "") in text


@pytest.mark.parametrize("width", [30, 80])
def test_a_cell_that_is_too_wide_goes_on_in_the_next_line(width: int) -> None:
    table = TextTable("name", "hub", box=None)
    table.add_row("x" * 70, "owner/" + "y" * 60)
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    text = capture.get()
    assert "…" not in text
    assert text.count("x") == 70
    assert text.count("y") == 60
