"""Pre-train the embedded ladder anew: ``python scripts/rebuild_ladder.py [names]``."""

from w2s_pref.testbed.pretrain import main

if __name__ == "__main__":
    main()
