"""Models: loading, saving, checks, batches, scores, log-probabilities, generation."""
