"""What everything stands on: errors, tables of pairs and scores, strict configuration, registries, files."""
