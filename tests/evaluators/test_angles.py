import math

import numpy as np
import pytest
import torch

from hwbench.evaluators.angles import AngularLogLikelihood, Filters, orientations, winding
from hwbench.gabor import ASPECT, WAVELENGTH, WINDOW, gabor
from hwbench.models.circle import Circle
from hwbench.protocols import AngularModel, TestSplit


class Known(AngularModel):
    """Gabor filters whose orientation is a function of the angle."""

    image = (16, 16)
    visible = 256

    def __init__(self, orientation):
        super().__init__()
        self.orientation = orientation

    @classmethod
    def tiny(cls):
        return cls(lambda a: a)

    def filters(self, angle):
        return 3 * gabor(self.orientation(angle), 16)

    def log_marginal(self, x, nodes):
        return torch.zeros(len(x))

    def sample(self, n):
        return self.filters(torch.rand(n))


POINTS = TestSplit(gabor(torch.rand(20), 16).float())


def test_a_pixel_of_a_gabor_patch():
    """At (x, y) = (1/3, −1), the last but one of the first row of 4 pixels."""
    theta, x, y = 0.7, 1 / 3, -1.0
    u = x * math.cos(theta) + y * math.sin(theta)
    v = -x * math.sin(theta) + y * math.cos(theta)
    expected = math.exp(-(u**2 + ASPECT**2 * v**2) / (2 * WINDOW**2))
    expected *= math.cos(2 * math.pi * u / WAVELENGTH)
    patch = gabor(torch.tensor([theta], dtype=torch.float64), 4)[0]
    assert patch[2].item() == pytest.approx(expected, abs=1e-12)


def test_orientations_are_found_to_half_a_degree():
    theta = torch.linspace(0, 3.1, 50)
    found = orientations(-0.2 * -gabor(theta, 16), 16)
    off = np.angle(np.exp(2j * (found.theta - theta.numpy()))) / 2
    assert np.abs(off).max() <= math.pi / 360 + 1e-6
    assert found.cosine.min() > 0.999


@pytest.mark.parametrize(
    ("orientation", "turns"),
    [(lambda a: a / 2, 1.0), (lambda a: -a / 2, 1.0), (lambda a: a, 2.0), (torch.zeros_like, 0.0)],
    ids=["once", "backwards", "twice", "constant"],
)
def test_filters_that_turn(orientation, turns):
    found = Filters()(Known(orientation), POINTS, seed=0)
    values = {name: metric.value for name, metric in found.metrics.items()}
    assert values["winding"] == pytest.approx(turns)
    assert values["best_cosine"] == pytest.approx(1.0, abs=1e-3)
    assert values["uniformity"] == pytest.approx(0.0 if turns else 1.0, abs=1e-2)
    assert (values["uniformity_ks"] < 0.1) == bool(turns)
    assert (found.diagnostics["ks_p_value"] > 1e-3) == bool(turns)
    assert found.per_point["filters"].shape == found.per_point["data"].shape == (16, 256)


def test_half_a_turn_back_and_forth_does_not_wind():
    theta = np.abs(np.linspace(-1, 1, 100, endpoint=False))
    assert winding(theta) == pytest.approx(0.0, abs=1e-12)


def test_images_that_are_not_square_have_no_gabor_patches():
    with pytest.raises(ValueError, match="images of this Circle are 1 x 2"):
        Filters()(Circle.tiny(), TestSplit(torch.rand(5, 2)), seed=0)
    with pytest.raises(ValueError, match="images of this Circle are 1 x 2"):
        Filters().refuse(Circle.tiny(), (1, 2))


def test_log_likelihood_is_that_of_the_model_and_too_few_nodes_are_reported():
    torch.manual_seed(0)
    model = Circle(visible=64, shape=(8, 8), channels=[3]).double()
    with torch.no_grad():
        model.generative.log_noise.fill_(-3.0)
        for layer in model.generative.layers:
            layer.weight.mul_(50)
    points = TestSplit(model.dream(30)[0].float())
    fine = AngularLogLikelihood(nodes=2048)(model, points, seed=0)
    expected, finer = (model.log_marginal(points.values, n).mean().item() for n in (2048, 16384))
    assert fine.metrics["log_likelihood"].value == pytest.approx(expected, abs=1e-6)
    assert expected == pytest.approx(finer, abs=1e-4)
    assert fine.metrics["log_likelihood"].kind == "exact"
    assert fine.warnings == []
    coarse = AngularLogLikelihood(nodes=32)(model, points, seed=0)
    assert coarse.diagnostics["quadrature_step"] > 0.01
    assert "from 16 to 32 angles" in coarse.warnings[0]
