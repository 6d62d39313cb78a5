"""What is printed: results of a study, and tables of single analyses (``w2s analyze``), from the page's own blocks."""

from w2s_pref.report.terminal.show import show

__all__ = ["show"]
