"""The kinds of study, their run folder, and the run itself."""
