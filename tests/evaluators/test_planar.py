import numpy as np
import pytest
import torch

from hwbench.datasets.pinwheel import Pinwheel
from hwbench.evaluators.planar import PlanarLogLikelihood
from hwbench.models.plane import BentMixture, GaussianMixture
from hwbench.protocols import TestSplit
from hwbench.rules.em_gaussian import GaussianEM


def test_points_and_draws_have_their_components():
    """Of two components far apart, each point has the one that it lies in."""
    model = GaussianMixture(visible=2, components=2)
    centres = torch.tensor([[-5.0, 1.0], [5.0, 1.0]])
    model.place(torch.tensor([0.5, 0.5]), centres, torch.eye(2).expand(2, 2, 2))
    points = TestSplit(centres.repeat(10, 1) + 0.1)
    found = PlanarLogLikelihood(drawn=12)(model, points, seed=0)
    for name in ("points", "draws"):
        cloud = found.per_point[name]
        assert cloud.shape == (12, 3)
        assert np.array_equal(cloud[:, 2], cloud[:, 0] > 0)
    np.testing.assert_array_equal(found.per_point["points"][:, :2], points.values[:12])
    expected = model.log_prob(points.values).mean().item()
    assert found.metrics["log_likelihood"].value == pytest.approx(expected, abs=1e-5)
    assert found.metrics["log_likelihood"].kind == "exact"
    assert found.warnings == []


def test_too_few_nodes_are_reported():
    torch.manual_seed(0)
    model = BentMixture(visible=2, components=2, hidden=3)
    with torch.no_grad():
        model.generative.log_noise.fill_(-5.0)
        model.generative.mean[2].weight.mul_(10)
    points = TestSplit(model.draw(20)[0])
    found = PlanarLogLikelihood(nodes=12)(model, points, seed=0)
    assert found.diagnostics["quadrature_step"] > 1e-3
    assert "from 6 to 12 nodes" in found.warnings[0]


def test_a_mixture_fits_a_pinwheel_better_than_one_gaussian():
    """And reports the likelihood that the model then has."""
    splits = Pinwheel(arms=3, points=60).load(0)
    values = []
    for components in (1, 3):
        model = GaussianMixture(visible=2, components=components)
        curves = GaussianEM(starts=1)(model, splits.train, None, 0, lambda fraction, note: None)
        values.append(model.log_prob(splits.train.values).mean().item())
        assert curves["train/log_likelihood"][0][1] == pytest.approx(values[-1], abs=1e-4)
    assert values[1] > values[0] + 0.2
