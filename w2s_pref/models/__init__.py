"""Models: what a recipe says of one, where its files are, how it is loaded, saved and checked."""
