"""Tests of the analyses on known truth."""
