"""What is trained: one file, one kind of model."""
