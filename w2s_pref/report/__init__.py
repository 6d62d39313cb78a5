"""Sections, tables and charts, written once, shown on the page and in the terminal.

Nothing in here computes a statistic: every number shown is a field of :class:`w2s_pref.results.Results`.
"""
