"""The pipeline: recipe → graph of stages → store → results."""
