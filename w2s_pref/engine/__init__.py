"""Stages, their keys, the store, and the loop that builds: knows no study and no model."""
