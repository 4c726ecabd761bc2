import math

import numpy as np
import pytest
import torch

from hwbench.evaluators.population import (
    Population,
    statistics_distance,
    summaries,
    unbiased_mmd,
    windows,
)
from hwbench.models.dynamics import BlowflyDynamics
from hwbench.protocols import TestSplit


def test_statistics_of_a_series():
    """By numpy; peaks are above the step before and not below the next."""
    series = np.array([2.0, 5.0, 3.0, 4.0, 4.0, 1.0, 6.0])
    found = summaries(torch.from_numpy(series)[None])[0]
    expected = [np.log(series).mean(), *np.log(np.quantile(series, [0.05, 0.25, 0.5, 0.75, 0.95]))]
    np.testing.assert_allclose(found, [*expected, 2])


def test_the_distance_is_a_root_mean_square_of_z_scores():
    torch.manual_seed(0)
    simulated, x = torch.rand(50, 12).double() + 0.5, torch.rand(1, 12).double() + 0.5
    own, others = summaries(x)[0].numpy(), summaries(simulated).numpy()
    z = (own - others.mean(0)) / others.std(0, ddof=1)
    assert statistics_distance(x, simulated) == pytest.approx(math.sqrt((z**2).mean()))


def test_windows_are_all_stretches():
    x = torch.arange(21.0)[None]
    assert windows(x).tolist() == [list(range(i, i + 10)) for i in range(12)]
    assert windows(x[:, :6]).shape == (4, 3)


def test_mmd_of_four_points_by_hand():
    """Of {0, 1} and {2, 4}, whose six distances have 2 for the lower median."""
    a, b = torch.tensor([[0.0], [1.0]]).double(), torch.tensor([[2.0], [4.0]]).double()

    def k(d):
        return math.exp(-(d**2) / 8)

    expected = k(1) + k(2) - 2 * (k(2) + k(4) + k(1) + k(3)) / 4
    assert unbiased_mmd(a, b) == pytest.approx(expected)


@pytest.mark.statistical
def test_mmd_has_mean_zero_where_both_sides_are_alike():
    """Within five standard errors, over 200 pairs of samples."""
    torch.manual_seed(0)
    found = np.array([unbiased_mmd(*torch.randn(2, 20, 3).double()) for _ in range(200)])
    assert abs(found.mean()) < 5 * found.std() / math.sqrt(200)
    apart = unbiased_mmd(torch.randn(50, 3).double(), torch.randn(50, 3).double() + 1)
    assert apart > 5 * found.std()


def test_series_without_inner_steps_are_refused():
    with pytest.raises(ValueError, match="a series needs 3 steps or more; found 2"):
        Population().refuse(BlowflyDynamics(visible=2), (2,))
    Population().refuse(BlowflyDynamics(visible=3), (3,))


def test_a_model_with_one_delay_has_no_entropy_and_simulates_itself():
    model = BlowflyDynamics(visible=30, delays=4, births=0.3, deaths=0.3)
    with torch.no_grad():
        model.logits[2] = 50.0
    torch.manual_seed(0)
    points = TestSplit(model.dream(1)[0])
    found = Population(series=100, windows=200, samples=100)(model, points, seed=0)
    values = {name: metric.value for name, metric in found.metrics.items()}
    assert values["delay"] == 3
    assert values["delay_entropy"] == pytest.approx(0, abs=1e-6)
    assert values["statistics_distance"] < 3
    assert 1 <= values["prior_ess"] <= 100
    assert {k: v.shape for k, v in found.per_point.items()} == {
        "data": (1, 30), "simulated": (5, 30), "delays": (1, 4), "delays_in_training": (4, 1)
    }  # fmt: skip


def test_the_delays_in_training_are_a_line_for_each_up_to_the_end():
    """Where they were recorded: a row of `path` for each moment, and then the probabilities now."""
    model = BlowflyDynamics(visible=30, delays=3)
    with torch.no_grad():
        model.logits[2] = 50.0
    model.path[:, 0] = torch.linspace(1, 0, 99)
    model.path[:, 1] = torch.linspace(0, 1, 99)
    points = TestSplit(model.dream(1)[0])
    found = Population(series=20, windows=20, samples=20)(model, points, seed=0).per_point
    lines = found["delays_in_training"]
    assert lines.shape == (3, 100)
    np.testing.assert_array_equal(lines[:, :99].T, model.path)
    np.testing.assert_allclose(lines[:, 99], found["delays"][0])
    np.testing.assert_allclose(lines[:, 99], [0, 0, 1], atol=1e-6)
