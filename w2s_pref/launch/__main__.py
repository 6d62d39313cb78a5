"""``accelerate launch -m w2s_pref.launch RECIPE``: recipes/run.py where the package is installed without its sources."""

import sys

from w2s_pref.launch.here import leave, main

if __name__ == "__main__":
    leave(main(sys.argv[1:]))
