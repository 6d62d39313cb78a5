"""What everything stands on: errors, tables, strict configuration, registries, files."""
