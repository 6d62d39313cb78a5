"""Losses on a margin, margins of policies, and the registry of both: pure tensors."""
