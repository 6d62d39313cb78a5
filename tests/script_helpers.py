"""Files of scripts/ and benchmarks/ as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


def load_script(name: str) -> ModuleType:
    """The file ``name``.py of the repository, which finds its neighbours, under a name that no package has."""
    file = ROOT / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"script_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(file.parent), *sys.path])
        patch.setitem(sys.modules, spec.name, module)  # dataclasses look there for what their annotations name
        spec.loader.exec_module(module)
    return module
