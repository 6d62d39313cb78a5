"""Where the conflict tax falls: regions, lift and its nulls."""
