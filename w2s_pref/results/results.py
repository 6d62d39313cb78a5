"""The parts of ``w2s_pref.results`` under the name of the one file that held them."""

from w2s_pref.results import *  # noqa: F403
from w2s_pref.results import RegionCounts, SpokenShares

Cell = RegionCounts
SpokenCell = SpokenShares
