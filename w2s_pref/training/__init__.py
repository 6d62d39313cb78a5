"""Training: the only room that imports TRL trainers."""
