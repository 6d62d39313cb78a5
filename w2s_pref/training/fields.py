"""Fields of the configurations of TRL, transformers and PEFT: parsed, because importing them takes seconds."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any, Literal

from w2s_pref.models.quantized import parsed

#: Which trainer's configuration: reward models, policies on pairs (SFT, DPO, …), or TRL's on-policy trainers.
Kind = Literal["reward", "dpo", "rloo", "grpo"]


@cache
def known_arguments(kind: Kind = "reward") -> dict[str, str]:
    """Names of a trainer's configuration and TrainingArguments' fields and annotations."""
    return _fields(
        ("transformers", "training_args.py"), ("trl", "trainer/base_config.py"), ("trl", f"trainer/{kind}_config.py")
    )


@cache
def known_lora_arguments() -> dict[str, str]:
    """Names of LoraConfig's fields, and their annotations."""
    return _fields(("peft", "config.py"), ("peft", "tuners/lora/config.py"))


@cache
def known_values() -> dict[str, list[str]]:
    """Arguments that take one of a list of names, and that list."""
    return {
        "optim": _members("training_args.py", "OptimizerNames"),
        "lr_scheduler_type": _members("trainer_utils.py", "SchedulerType"),
    }


@cache
def default_of(kind: Kind, name: str) -> Any:
    """The default of one of a trainer's own arguments; None where it has none."""
    for node in parsed("trl", f"trainer/{kind}_config.py"):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            given = node.value.keywords if isinstance(node.value, ast.Call) else []
            values = [word.value for word in given if word.arg == "default"]
            return values[0].value if values and isinstance(values[0], ast.Constant) else None
    return None


def _fields(*files: tuple[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for package, path in files:
        for node in parsed(package, path):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = ast.unparse(node.annotation)
    return found


def _members(path: str, name: str) -> list[str]:
    """Values of an enumeration of transformers."""
    classes = [node for node in parsed("transformers", path) if isinstance(node, ast.ClassDef) and node.name == name]
    values = [line.value for node in classes for line in node.body if isinstance(line, ast.Assign)]
    return [value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]
