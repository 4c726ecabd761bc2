"""The learning rules: one kind per file."""
