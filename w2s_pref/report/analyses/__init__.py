"""What ``w2s analyze`` prints and draws of a single analysis, from the blocks and marks of the reports."""
