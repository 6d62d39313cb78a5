"""Pre-train the embedded ladder anew: ``python scripts/rebuild_ladder.py [names]``."""

import argparse
from pathlib import Path

import torch

from w2s_pref.testbed.ladder import MODELS, RUNGS, pretrain, save


def main() -> None:
    """Command line: rebuild the named rungs, or all of them."""
    parser = argparse.ArgumentParser(description="Pre-train one rung of the ladder from scratch on the world's text.")
    parser.add_argument("rungs", nargs="*", default=list(RUNGS), help=f"among {', '.join(RUNGS)}; default all")
    parser.add_argument("--out", type=Path, default=MODELS, help="folder of the ladder")
    parser.add_argument("--threads", type=int, default=1, help="other numbers may round differently")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.rungs:
        print(f"{name}: {RUNGS[name]}", flush=True)
        save(pretrain(RUNGS[name]), options.out / name)


if __name__ == "__main__":
    main()
