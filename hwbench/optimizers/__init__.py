"""Optimisers that torch.optim lacks."""
