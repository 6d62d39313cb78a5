"""Processes of one launch that opened different things, as on two machines with other copies of the data."""

from __future__ import annotations

from pathlib import Path

from launch_helpers import REWARDS, SMALL
from processes import ENVIRONMENT, run_together

#: What every process runs; the second one's data are sampled otherwise.
SCRIPT = """
import os, sys
from w2s_pref.launch.here import leave, main
leave(main([*sys.argv[1:], f"data.seed={os.environ['RANK']}"]))
"""


def test_processes_with_other_data_are_refused_before_anything_is_built(study: Path) -> None:
    script = study / "script.py"
    script.write_text(SCRIPT)
    ended = run_together(2, str(script), "tiny.yaml", *SMALL, *REWARDS, environment=ENVIRONMENT)
    assert not [place.parent.parent.name for place in study.glob("runs/store/*/*/manifest.json")]
    for done in ended:
        assert done.returncode == 1, done.stdout
        assert "process 1 of this launch has other stages than process 0" in done.stderr
