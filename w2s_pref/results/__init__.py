"""What runs write: results.json and its parts."""
