"""What a run would do and what it costs, without loading weights."""
