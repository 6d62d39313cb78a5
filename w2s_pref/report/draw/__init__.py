"""Neutral tables, charts and texts."""
