"""Weak models supervise strong ones through preferences: conflict, bootstrapping, deception, nulls and intervals."""

from w2s_pref.core import aliases
from w2s_pref.core.errors import W2SError
from w2s_pref.core.registry import dataset
from w2s_pref.core.version import __version__

__all__ = ["W2SError", "__version__", "dataset"]

aliases.install()
