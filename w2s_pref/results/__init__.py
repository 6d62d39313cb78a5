"""What runs write: the schemas of results.json (docs/results-json.md), and their readers.

Of a preference study everything is offered here: ``from w2s_pref.results import Results``. The laboratory's and chess's
results are in ``lab`` and ``chess``.
"""

from w2s_pref.results.deception import *  # noqa: F403
from w2s_pref.results.estimates import *  # noqa: F403
from w2s_pref.results.parts import *  # noqa: F403
from w2s_pref.results.preferences import *  # noqa: F403
from w2s_pref.results.risk import *  # noqa: F403
from w2s_pref.results.speech import *  # noqa: F403
from w2s_pref.results.trainings import *  # noqa: F403
