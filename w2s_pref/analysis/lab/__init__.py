"""The generalization laboratory's analysis: pure functions on tables of answers, cells and curves."""
