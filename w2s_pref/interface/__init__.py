"""The interface for Python and notebooks (``import w2s_pref as w2s``): run, plan, open, score, analyze."""
