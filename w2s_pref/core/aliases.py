"""Modules under the names they had before version 0.2: they work for one more release, with a warning.

One table. ``import w2s_pref`` installs it; a name that is not in it costs one dictionary look-up.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

#: Old module or package → where it is now. Modules of an old package that are not named keep their last name.
ALIASES = {
    "w2s_pref.agreement": "w2s_pref.labels.make",
    "w2s_pref.analysis.bootstrap": "w2s_pref.analysis.stats.bootstrap",
    "w2s_pref.analysis.calibration": "w2s_pref.analysis.scores.calibration",
    "w2s_pref.analysis.generalization": "w2s_pref.analysis.preferences.generalization",
    "w2s_pref.analysis.study": "w2s_pref.analysis.preferences.study",
    "w2s_pref.analysis.table": "w2s_pref.analysis.scores.table",
    "w2s_pref.chess": "w2s_pref.studies.chess",
    "w2s_pref.errors": "w2s_pref.core.errors",
    "w2s_pref.generalization": "w2s_pref.studies.generalization",
    "w2s_pref.generation": "w2s_pref.models.generation",
    "w2s_pref.label_methods": "w2s_pref.labels.combine",
    "w2s_pref.label_noise": "w2s_pref.labels.noise",
    "w2s_pref.logprobs": "w2s_pref.models.scoring",
    "w2s_pref.loss_spec": "w2s_pref.losses.spec",
    "w2s_pref.margins": "w2s_pref.losses.margins",
    "w2s_pref.objectives": "w2s_pref.losses.objectives",
    "w2s_pref.pipeline": "w2s_pref.planning",
    "w2s_pref.pipeline.plan": "w2s_pref.results.read",
    "w2s_pref.pipeline.run": "w2s_pref.studies.run",
    "w2s_pref.pipeline.store": "w2s_pref.engine.store",
    "w2s_pref.probes": "w2s_pref.training.probes",
    "w2s_pref.prompting": "w2s_pref.models.prompting",
    "w2s_pref.registry": "w2s_pref.data.readers",
    "w2s_pref.rows": "w2s_pref.models.batches",
    "w2s_pref.scoring": "w2s_pref.models.scoring",
    "w2s_pref.tasks": "w2s_pref.data.tasks",
    "w2s_pref.tasks.audit": "w2s_pref.analysis.leaks.audit",
    "w2s_pref.testbed.organisms": "w2s_pref.organisms.organisms",
    "w2s_pref.testbed.power": "w2s_pref.organisms.power",
    "w2s_pref.testbed.scales": "w2s_pref.organisms.scales",
    "w2s_pref.types": "w2s_pref.core.tables",
    "w2s_pref.version": "w2s_pref.core.version",
}


def new_name(name: str) -> str | None:
    """Where a module of the old layout is now; None for every other name."""
    for old in (name, name.rpartition(".")[0]):
        if old in ALIASES:
            return ALIASES[old] + name[len(old) :]
    return None


class _Alias(Loader):
    """Puts the module of another name in the place of the one that was asked for."""

    def __init__(self, target: str) -> None:
        self.target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """An empty module; ``exec_module`` replaces it."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Import the target and enter it under the old name.

        An old package stays a module of its own that hands out the target's names: Python sets a module as an
        attribute of its package, and ``pipeline.plan`` must not take the place of ``planning.plan``.
        """
        target = importlib.import_module(self.target)
        if hasattr(target, "__path__"):
            module.__dict__["__getattr__"] = partial(_attribute, module.__name__, target)
        else:
            sys.modules[module.__name__] = target


def _attribute(old: str, target: ModuleType, name: str) -> object:
    """``old.name``: the module that the table names, else the target's attribute."""
    if f"{old}.{name}" in ALIASES:
        return importlib.import_module(f"{old}.{name}")
    return getattr(target, name)


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """A spec for old names only. It comes before the search in folders, which would load a module twice."""
        found = new_name(name)
        if found is None:
            return None
        warnings.warn(f"{name} is {found} now; the old name goes with the next release", FutureWarning, stacklevel=2)
        return ModuleSpec(name, _Alias(found), is_package=True)


def install() -> None:
    """Let imports of old names find the modules of today, once a process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
