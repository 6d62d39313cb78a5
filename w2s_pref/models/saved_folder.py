"""What a saved model folder keeps: safetensors and JSON, and of an adapter the name and dtype of its base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from w2s_pref.models.quantized import told


def tidy(model: Any, folder: Path, base_path: str) -> None:
    """Remove pickle and README that libraries leave; let an adapter name its base's path, dtype, quantization."""
    for name in ("training_args.bin", "README.md"):
        (folder / name).unlink(missing_ok=True)
    adapter = folder / "adapter_config.json"
    if adapter.is_file() and base_path:
        config = json.loads(adapter.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = base_path
        adapter.write_text(json.dumps(config, indent=2), encoding="utf-8")
        dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
        base = {"dtype": dtype} | ({"quantization": quantization} if (quantization := told(model)) else {})
        (folder / "base.json").write_text(json.dumps(base), encoding="utf-8")
