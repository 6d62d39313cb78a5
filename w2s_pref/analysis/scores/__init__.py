"""Score tables and the regions that they cut test items into."""
