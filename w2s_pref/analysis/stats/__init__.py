"""Statistics that know nothing of the study: bootstrap, calibration, permutation, regression."""
