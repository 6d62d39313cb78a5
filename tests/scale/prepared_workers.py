"""``w2s`` on a machine of two cores, where eight stages are worth two workers, and nobody has said how many threads."""

from __future__ import annotations

import os
from unittest.mock import patch

from w2s_pref.cli.main import main
from w2s_pref.launch import allocation

if __name__ == "__main__":
    os.environ.pop("OMP_NUM_THREADS", None)
    with patch.object(allocation, "cores", lambda: 2), patch.object(allocation, "WORTH_A_WORKER", 4):
        main()
