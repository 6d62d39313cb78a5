"""What a run would do, and what it costs. No weights are loaded."""
