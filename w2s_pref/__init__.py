"""Weak models supervise strong ones through preferences: conflict, bootstrapping, deception, nulls and intervals."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from w2s_pref.core import aliases
from w2s_pref.core.errors import W2SError
from w2s_pref.core.version import __version__

if TYPE_CHECKING:
    from w2s_pref.analysis.preferences.metrics import metric as metric
    from w2s_pref.data.readers import dataset as dataset
    from w2s_pref.data.tasks.task import task as task
    from w2s_pref.labels.make import label_filter as label_filter
    from w2s_pref.labels.make import labeler as labeler
    from w2s_pref.labels.supervisors import combine as combine
    from w2s_pref.losses.conflict import conflict as conflict
    from w2s_pref.losses.margins import margin as margin
    from w2s_pref.losses.spec import loss as loss
    from w2s_pref.report.registry import section as section
    from w2s_pref.training.methods import reward as reward

#: Decorators that add something of one's own (see docs/extend.md): name -> module, imported when first used.
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

__all__ = ["W2SError", "__version__", *_DECORATORS]


def __getattr__(name: str) -> Any:
    """A decorator, from the room that owns it."""
    if name not in _DECORATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_DECORATORS[name]), name)


aliases.install()
