"""Preference pairs and classification tasks: sources, validation, splits, tokens."""
