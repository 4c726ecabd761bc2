"""Optimisers that torch.optim does not have."""
