"""Pages of the generalization laboratory: an overview, and one page a study. They render, they compute nothing."""
