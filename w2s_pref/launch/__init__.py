"""Start a run: here, with many processes, with workers, on a cluster."""
