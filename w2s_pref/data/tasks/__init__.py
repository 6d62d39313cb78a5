"""Classification tasks: the 22 of weak-to-strong generalization, a user's own, their splits and the leak audit."""
