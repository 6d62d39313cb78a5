"""`w2s run` on many processes: accelerate launch --config_file accelerate_configs/ddp.yaml recipes/run.py RECIPE."""

from __future__ import annotations

import sys

from w2s_pref.launch.accelerate import leave, main

if __name__ == "__main__":
    leave(main(sys.argv[1:]))
