"""``accelerate launch -m w2s_pref.launch RECIPE``: recipes/run.py, for those who have the package alone."""

import sys

from w2s_pref.launch.here import leave, main

if __name__ == "__main__":
    leave(main(sys.argv[1:]))
