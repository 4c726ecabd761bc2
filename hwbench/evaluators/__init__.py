"""The evaluators, which measure trained models: one kind per file."""
