"""The analyses as modules of the evaluate library.

From the repository root, offline: ``evaluate.load("w2s_pref/metrics/deception_score")``. In Python:
``from w2s_pref.metrics.deception_score.deception_score import DeceptionScore``. Only these folders import ``evaluate``;
the numbers come from ``w2s_pref.analysis``. It comes with ``pip install 'w2s-pref[evaluate]'``.
"""

from importlib.util import find_spec

from w2s_pref.core.errors import W2SError

if find_spec("evaluate") is None:
    raise W2SError("w2s_pref.metrics needs the library evaluate, which is not here; pip install 'w2s-pref[evaluate]'")
