"""Stages, their keys, the store and the loop: knows no study and no model."""
