"""Scores of a supervisor → labels: form, calibration, filters, combination, noise."""
