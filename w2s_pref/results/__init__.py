"""What runs write: the schemas of results.json and of its parts, and their readers.

One file for each subject; docs/results-json.md tells of all. Of a preference study everything is offered here:
``from w2s_pref.results import Results``. The laboratory's and chess's are in ``lab``, ``generalization`` and ``chess``.
"""

from w2s_pref.results.deception import *  # noqa: F403
from w2s_pref.results.estimates import *  # noqa: F403
from w2s_pref.results.preferences import *  # noqa: F403
from w2s_pref.results.risk import *  # noqa: F403
from w2s_pref.results.speech import *  # noqa: F403
from w2s_pref.results.trainings import *  # noqa: F403
