"""Files that recipes refer to run as they stand."""

from __future__ import annotations

import os
from pathlib import Path

from w2s_pref.core.references import resolve


def test_an_edit_of_the_same_second_and_size_is_seen(tmp_path: Path) -> None:
    """Python takes bytecode for a file whose size and second of change are the same."""
    file = tmp_path / "mine.py"
    for number, value in enumerate("12"):
        file.write_text(f"VALUE = {value}\n", encoding="utf-8")
        os.utime(file, ns=(0, 1_700_000_000_000_000_000 + number))
        assert resolve("mine.py:VALUE", tmp_path) == int(value)
    assert not (tmp_path / "__pycache__").exists()
