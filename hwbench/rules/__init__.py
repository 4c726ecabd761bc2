"""How a model learns: one file, one kind of rule."""
