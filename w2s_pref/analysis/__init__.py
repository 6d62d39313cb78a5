"""Analyses of score tables: pure functions of numbers, no model, no training library, one formula in one place.

Importing this package costs numpy and pandas only; scipy and scikit-learn are never needed at import.
"""
