"""Files with rows of RewardBench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def written(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
    """Write rows as JSON Lines; returns the file's name."""
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def row(subset: str, id: Any, chosen: Any, rejected: Any, **more: Any) -> dict[str, Any]:
    """One row of the benchmark."""
    return {"id": id, "subset": subset, "prompt": f"w1 w2 {id}", "chosen": chosen, "rejected": rejected, **more}
