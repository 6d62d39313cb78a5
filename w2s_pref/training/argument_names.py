"""What arguments TRL, transformers and peft know: read from their source files, so that no check imports them."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, Literal

#: Which trainer's configuration: reward models, policies on pairs (SFT, DPO, …), or TRL's on-policy trainers.
Kind = Literal["reward", "dpo", "rloo", "grpo"]


@cache
def known_arguments(kind: Kind = "reward") -> dict[str, str]:
    """Names of a trainer's configuration and TrainingArguments' fields and annotations, parsed, not imported."""
    return _fields(
        ("transformers", "training_args.py"), ("trl", "trainer/base_config.py"), ("trl", f"trainer/{kind}_config.py")
    )


@cache
def known_lora_arguments() -> dict[str, str]:
    """Names of LoraConfig's fields and their annotations, parsed, not imported."""
    return _fields(("peft", "config.py"), ("peft", "tuners/lora/config.py"))


@cache
def known_values() -> dict[str, list[str]]:
    """Arguments that take one of a list of names, and that list, parsed, not imported."""
    return {
        "optim": _members("training_args.py", "OptimizerNames"),
        "lr_scheduler_type": _members("trainer_utils.py", "SchedulerType"),
    }


@cache
def default_of(kind: Kind, name: str) -> Any:
    """The default of one of a trainer's own arguments, parsed, not imported; None where it has none."""
    for node in _nodes("trl", f"trainer/{kind}_config.py"):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            given = node.value.keywords if isinstance(node.value, ast.Call) else []
            values = [word.value for word in given if word.arg == "default"]
            return values[0].value if values and isinstance(values[0], ast.Constant) else None
    return None


def _fields(*files: tuple[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for package, path in files:
        for node in _nodes(package, path):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = ast.unparse(node.annotation)
    return found


def _members(path: str, name: str) -> list[str]:
    """Values of an enumeration of transformers."""
    classes = [node for node in _nodes("transformers", path) if isinstance(node, ast.ClassDef) and node.name == name]
    values = [line.value for node in classes for line in node.body if isinstance(line, ast.Assign)]
    return [value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]


@cache
def _nodes(package: str, path: str) -> list[ast.AST]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return []
    source = Path(next(iter(spec.submodule_search_locations))) / path
    return list(ast.walk(ast.parse(source.read_text(encoding="utf-8"))))
