"""Weak models supervise strong ones through preferences: conflict, bootstrapping, deception, nulls and intervals."""

from w2s_pref.errors import W2SError
from w2s_pref.registry import dataset
from w2s_pref.version import __version__

__all__ = ["W2SError", "__version__", "dataset"]
