"""The deception score as an ``evaluate`` module."""
