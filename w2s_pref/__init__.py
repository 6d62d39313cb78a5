"""Weak models supervise strong ones through preferences: conflict, bootstrapping, deception, nulls and intervals.

import w2s_pref as w2s

run = w2s.run("quickstart", seeds=[0])  # docs/python.md
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from w2s_pref.core import aliases
from w2s_pref.core.errors import W2SError
from w2s_pref.core.version import __version__

if TYPE_CHECKING:
    from w2s_pref.analysis.preferences.metrics import metric as metric
    from w2s_pref.data.readers import dataset as dataset
    from w2s_pref.data.tasks.task import task as task
    from w2s_pref.interface import analyze as analyze
    from w2s_pref.interface.plan import Plan as Plan
    from w2s_pref.interface.plan import plan as plan
    from w2s_pref.interface.run import Run as Run
    from w2s_pref.interface.run import open_run as open_run
    from w2s_pref.interface.run import run as run
    from w2s_pref.interface.score import score as score
    from w2s_pref.labels.make import label_filter as label_filter
    from w2s_pref.labels.make import labeler as labeler
    from w2s_pref.labels.supervisors import combine as combine
    from w2s_pref.losses.conflict import conflict as conflict
    from w2s_pref.losses.margins import margin as margin
    from w2s_pref.losses.spec import loss as loss
    from w2s_pref.report.registry import section as section
    from w2s_pref.training.methods import reward as reward

#: What Python and notebooks call (see docs/python.md): name -> module, imported when first used.
_INTERFACE = {
    "run": "w2s_pref.interface.run",
    "open_run": "w2s_pref.interface.run",
    "Run": "w2s_pref.interface.run",
    "plan": "w2s_pref.interface.plan",
    "Plan": "w2s_pref.interface.plan",
    "score": "w2s_pref.interface.score",
    "analyze": "w2s_pref.interface.analyze",
}
#: Decorators that add something of one's own (see docs/extend.md).
_DECORATORS = {
    "dataset": "w2s_pref.data.readers",
    "task": "w2s_pref.data.tasks.task",
    "labeler": "w2s_pref.labels.make",
    "label_filter": "w2s_pref.labels.make",
    "combine": "w2s_pref.labels.supervisors",
    "loss": "w2s_pref.losses.spec",
    "margin": "w2s_pref.losses.margins",
    "conflict": "w2s_pref.losses.conflict",
    "reward": "w2s_pref.training.methods",
    "metric": "w2s_pref.analysis.preferences.metrics",
    "section": "w2s_pref.report.registry",
}

_PLACES = {**_INTERFACE, **_DECORATORS}

__all__ = ["W2SError", "__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    """A name of the interface, or a decorator, from the room that owns it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_PLACES[name])
    return module if name == "analyze" else getattr(module, name)


def __dir__() -> list[str]:
    return [*globals(), *_PLACES]


aliases.install()
