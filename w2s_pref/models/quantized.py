"""Base models in 4 or 8 bits under an adapter (QLoRA, Dettmers et al. 2023, arXiv 2305.14314), by bitsandbytes."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_pref.core.errors import W2SError
from w2s_pref.core.strict import nearest

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@cache
def parsed(package: str, path: str) -> list[ast.AST]:
    """Every node of a source file of a package, parsed, not imported; none where the package is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return []
    source = Path(next(iter(spec.submodule_search_locations))) / path
    return list(ast.walk(ast.parse(source.read_text(encoding="utf-8"))))


@cache
def arguments() -> tuple[str, ...]:
    """Arguments of transformers' BitsAndBytesConfig, parsed, not imported."""
    nodes = parsed("transformers", "utils/quantization_config.py")
    (found,) = (node for node in nodes if isinstance(node, ast.ClassDef) and node.name == "BitsAndBytesConfig")
    (init,) = (node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return tuple(argument.arg for argument in init.args.args if argument.arg != "self")


def problems(quantization: dict[str, Any]) -> list[str]:
    """What is wrong with a recipe's ``quantization``: BitsAndBytesConfig ignores names that it does not know."""
    wrong = [f"quantization.{name}: BitsAndBytesConfig has no such argument; {nearest(name, list(arguments()))}"
             for name in quantization if name not in arguments()]  # fmt: skip
    if not (quantization.get("load_in_4bit") or quantization.get("load_in_8bit")):
        wrong.append("quantization: set load_in_4bit: true or load_in_8bit: true, or nothing is quantized")
    return wrong


def require(quantization: dict[str, Any] | None) -> None:
    """Say before any work that the library is missing.

    Raises:
        W2SError: bitsandbytes is not installed.
    """
    if quantization is not None and importlib.util.find_spec("bitsandbytes") is None:
        raise W2SError("quantization needs bitsandbytes, and a GPU to be fast; pip install 'w2s-pref[qlora]'")


def loading(quantization: dict[str, Any] | None, device: str) -> dict[str, Any]:
    """What ``from_pretrained`` is told beside the rest; quantized weights are made on the device itself.

    Raises:
        W2SError: bitsandbytes is not installed, or the arguments do not go together.
    """
    if quantization is None:
        return {}
    require(quantization)
    from transformers import BitsAndBytesConfig

    try:
        return {"quantization_config": BitsAndBytesConfig(**quantization), "device_map": {"": device}}
    except (TypeError, ValueError) as error:
        raise W2SError(f"quantization: {error}") from error


def trainable(model: PreTrainedModel) -> PreTrainedModel:
    """The same model, whose layers of 4 bits pass gradients on however often it was only read before.

    On a processor with bfloat16 instructions bitsandbytes packs a layer's weights anew when it is first read without
    gradients, as our check of layouts does. Packed, it passes no gradient to what lies below: an adapter would learn
    nothing, without a word.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def of_model(model: PreTrainedModel) -> dict[str, Any] | None:
    """The ``quantization`` that a model was loaded with; None for an ordinary one."""
    config = getattr(model.config, "quantization_config", None)
    if config is None:
        return None
    given = config if isinstance(config, dict) else config.to_diff_dict()
    return {name: value for name, value in given.items() if name in arguments()}
