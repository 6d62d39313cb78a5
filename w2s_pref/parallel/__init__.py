"""Processes of one launch."""
