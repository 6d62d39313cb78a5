"""Where the conflict tax falls: regions, lift and its nulls."""

from w2s_pref.analysis.deception.deception import analyze_deception as analyze_deception
