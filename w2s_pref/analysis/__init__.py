"""Analyses of score tables: functions of numbers, no model and no training library.

Importing this package costs numpy and pandas only; scipy and scikit-learn are never needed at import.
"""
