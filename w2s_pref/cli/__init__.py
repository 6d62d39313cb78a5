"""The command line: what was typed becomes calls of functions elsewhere."""
