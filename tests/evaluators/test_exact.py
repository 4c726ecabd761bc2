"""Exact evaluators against sums written out."""

import pytest
import torch

from hwbench.evaluators.exact import (
    EnumeratedLogLikelihood,
    ExactLogLikelihood,
    all_binary,
    exact_log_prob,
)
from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.models.nade import NADE
from hwbench.models.vae import VAE
from hwbench.protocols import TestSplit as Points


def points(n=30, d=4):
    torch.manual_seed(0)
    return Points((torch.rand(n, d) < 0.4).to(torch.uint8))


def randomised(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def test_all_binary_vectors_are_counted_once():
    x = all_binary(5)
    assert len(set(map(tuple, x.tolist()))) == 32
    assert torch.equal(torch.cat([all_binary(5, 0, 7), all_binary(5, 7, 32)]), x)


def test_a_density_is_asked_for_its_log_prob():
    model, split = randomised(NADE(4, hidden=3)), points()
    found = ExactLogLikelihood(batch=7)(model, split, seed=0)
    expected = model.log_prob(split.values.float()).detach().double()
    metric = found.metrics["log_likelihood"]
    assert metric.value == pytest.approx(expected.mean().item(), abs=1e-6)
    assert metric.se == pytest.approx(expected.std().item() / 30**0.5, rel=1e-5)
    assert (metric.kind, metric.n, metric.k) == ("exact", 30, 0)
    assert found.metrics["nll"].value == -metric.value
    torch.testing.assert_close(torch.from_numpy(found.per_point["log_px"]), expected.float())


def test_a_helmholtz_machine_is_enumerated():
    """log p(x) = log Σ_h p(x, h), one term at a time."""
    model, split = randomised(BinaryHelmholtzMachine(4, [3, 2])), points()
    found = EnumeratedLogLikelihood(batch=4)(model, split, seed=0)
    x = split.values.float()
    total = torch.zeros(len(x))
    for h1 in all_binary(3):
        for h2 in all_binary(2):
            h = [h1.expand(1, len(x), 3), h2.expand(1, len(x), 2)]
            total += model.log_joint(x, h)[0].exp().detach()
    torch.testing.assert_close(torch.from_numpy(found.per_point["log_px"]), total.log())
    torch.testing.assert_close(exact_log_prob(model, x, [3, 2]).float(), total.log())


def test_a_subset_is_random_and_the_same_for_every_model():
    split = points(100)
    a = ExactLogLikelihood(points=20)(NADE(4, 3), split, seed=5)
    b = EnumeratedLogLikelihood(points=20)(BinaryHelmholtzMachine(4, [2]), split, seed=5)
    whole = ExactLogLikelihood()(NADE(4, 3), split, seed=5)
    assert len(a.per_point["log_px"]) == len(b.per_point["log_px"]) == 20
    assert len(whole.per_point["log_px"]) == 100


def test_pixels_that_are_not_binary_make_a_score():
    split = Points(torch.randint(0, 256, (10, 4), dtype=torch.uint8), scale=255.0)
    found = ExactLogLikelihood()(NADE(4, 3), split, seed=0)
    assert found.metrics["log_likelihood"].kind == "score"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (BinaryHelmholtzMachine(4, [20, 10]), "30 latents cannot be enumerated"),
        (VAE.tiny(), "no binary layers"),
    ],
)
def test_what_cannot_be_enumerated_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        EnumeratedLogLikelihood()(model, points(), seed=0)
