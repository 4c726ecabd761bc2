import math

import torch

from hwbench.datasets.pinwheel import Pinwheel


def test_points_lie_on_bent_arms():
    """Unbent again, each arm is N((1, 0), diag(0.3², 0.1²)): moments to five standard errors."""
    splits = Pinwheel(points=500).load(3)
    assert splits.train.values.mean(0).abs().max() < 1e-6
    x = splits.test.values.double()
    assert x.shape == (2500, 2)
    # Test points are moved by the training mean, which is within 5 / sqrt(2500) of 0.
    radius, angle = x.norm(dim=1), torch.atan2(x[:, 1], x[:, 0])
    s = 0.0 * radius
    for _ in range(20):  # r² + s² = radius², and s is the sine of what the bend leaves
        r = (radius.square() - s.square()).clamp_min(1e-6).sqrt()
        rest = angle - 2 * math.pi / 5 * (torch.arange(2500) % 5) - 0.2 * r.exp()
        s = radius * torch.sin(rest)
    for values, mean, deviation in ((r, 1.0, 0.3), (s, 0.0, 0.1)):
        assert abs(values.mean() - mean) < 5 * deviation / math.sqrt(2500) + 0.02
        assert abs(values.std() / deviation - 1) < 0.1
