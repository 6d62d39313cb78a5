"""Calibration as an ``evaluate`` module."""
