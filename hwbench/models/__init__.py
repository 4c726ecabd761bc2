"""The models: one kind per file."""
