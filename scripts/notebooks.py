"""Execute the notebooks, one after another in one folder, and store what they show.

pip install -e ".[notebooks]"
python scripts/notebooks.py [notebooks/NAME.ipynb …]   # default: all
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

#: Bars of progress, which are nothing without the kernel that drew them.
WIDGET = "application/vnd.jupyter.widget-view+json"
FOLDER = Path(__file__).parent.parent / "notebooks"


def execute(file: Path, where: Path) -> None:
    """Run every cell in a kernel and write the notebook with its outputs, without times and without widgets' state."""
    book = nbformat.read(file, as_version=4)
    metadata = dict(book.metadata)
    client = NotebookClient(
        book, timeout=600, resources={"metadata": {"path": str(where)}}, record_timing=False, coalesce_streams=True
    )
    client.execute()
    book.metadata = metadata
    for cell in book.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if _is_shown(each.get("data", {"text/plain": "?"}))]
    nbformat.validate(book)
    file.write_text(nbformat.writes(book, indent=1) + "\n", encoding="utf-8")


def _is_shown(data: dict[str, str]) -> bool:
    """Whether an output is more than the place of a bar."""
    return WIDGET not in data and data.get("text/plain", "?") != ""


def main(files: list[str]) -> int:
    """The files named, or all of them, in the order of their names."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process: the same lines in the same order every time
    with tempfile.TemporaryDirectory() as folder:
        for file in [Path(file) for file in files] or sorted(FOLDER.glob("*.ipynb")):
            execute(file, Path(folder))
            print(f"wrote {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
