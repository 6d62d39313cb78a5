"""Starts of a run: in this process, in many, with workers, on a cluster."""
