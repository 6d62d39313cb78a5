"""One run of ppo_helpers, in float64, in whatever processes launched it: ``ppo_two.py FOLDER``."""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from float64 import in_float64
from ppo_helpers import run

folder = Path(sys.argv[1])
with in_float64():
    done = run(folder, total_episodes=24, per_device_forward_batch_size=3, whiten_rewards=True)
if os.environ.get("RANK", "0") == "0":
    (folder / "done.json").write_text(json.dumps(done))
sys.stdout.flush()
os._exit(0)  # gloo's threads sometimes abort a process that ends by itself
