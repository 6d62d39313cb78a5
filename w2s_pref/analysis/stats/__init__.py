"""Statistics that know nothing of the study: bootstrap, estimates, rank correlation."""
