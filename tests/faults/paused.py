"""``w2s`` that stands still when it comes to one point of one stage's commit, so that it can be killed just there.

``paused.py POINT KEY WORDS``. At ``commit`` everything of the artifact is written and nothing sealed; at ``move_in``
the manifest is there too, and only the renaming is left. A file ``paused`` among them says that it stands.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from w2s_pref.cli.main import main
from w2s_pref.engine import store

POINTS = {"commit": store.Store, "move_in": store}


def paused(point: str, wanted: str) -> Any:
    """That function, which for that key does nothing for ever."""
    real = getattr(POINTS[point], point)

    def stand(*given: Any) -> Any:
        folder = next(each for each in given if isinstance(each, Path))  # the temporary one
        if wanted in folder.name:
            (folder / "paused").touch()
            time.sleep(1e6)
        return real(*given)

    return patch.object(POINTS[point], point, stand)


if __name__ == "__main__":
    place = paused(*sys.argv[1:3])
    del sys.argv[1:3]
    with place:
        main()
