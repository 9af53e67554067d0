"""Tasks: one per file, each with its data, its loss and its score."""
