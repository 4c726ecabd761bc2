"""Optimizers that torch.optim lacks, one kind per file.

Belongs here: update rules for given gradients, as subclasses of `torch.optim.Optimizer`. Does not:
gradients (`rules`), schedules and stopping (`learner`).
"""
