"""Preference studies: recipe, graph, results."""
