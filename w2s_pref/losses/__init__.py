"""Losses on a margin, margins of policies, conflict settings: functions of numbers."""
