"""Reports: one ``Results`` in, and out come terminal tables, a self-contained HTML page, a model card, a comparison.

Nothing in here computes a statistic: every number shown is a field of :class:`w2s_pref.results.Results`.
"""
