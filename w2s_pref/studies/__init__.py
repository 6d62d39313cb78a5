"""The kinds of study, what opens, builds and finishes one, and the run folder."""
