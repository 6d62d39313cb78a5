"""Preference data: sources, validation, one neutral table, disjoint splits, tokens and a look at all of it."""
