"""`w2s run` on many processes: accelerate launch --config_file accelerate_configs/ddp.yaml recipes/run.py RECIPE.

Every process of the launch runs this file. They open the same recipe, agree stage by stage what the store lacks, train
it together, and the main process writes tables, results and report (`w2s_pref.studies.run`).
"""

from __future__ import annotations

import sys

from w2s_pref.launch.here import leave, main

if __name__ == "__main__":
    status = main(sys.argv[1:])  # what goes wrong is a sentence and a status, also where another process is gone
    leave(status)  # after everybody, where all went well: nobody tears down what others still use
