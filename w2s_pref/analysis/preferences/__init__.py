"""The preference study: students compared, generalization, ladder, speech."""
