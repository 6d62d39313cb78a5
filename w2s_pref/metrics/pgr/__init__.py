"""Performance gap recovered as an ``evaluate`` module."""
