"""The models, one kind per file.

Belongs here: subclasses of a model protocol, which can be sampled, measured or trained. Does not:
how they are trained (`rules`) or measured (`evaluators`). `layers` and `stack` are parts that
several models share.
"""
