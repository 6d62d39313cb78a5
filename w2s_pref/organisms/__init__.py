"""Tests of the analyses on cases whose truth is known: false alarms and power."""
