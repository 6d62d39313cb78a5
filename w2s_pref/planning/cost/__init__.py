"""What a recipe costs before it runs: parameters, memory, tokens, FLOPs, time and storage of every stage."""
