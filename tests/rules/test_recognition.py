from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from hwbench.models.helmholtz import BinaryHelmholtzMachine
from hwbench.protocols import HelmholtzMachine
from hwbench.rules.recognition import RecognitionLearning
from hwbench.rules.reweighted import ReweightedWakeSleep


def recognition_density(model: HelmholtzMachine, x: Tensor) -> Iterator[Tensor]:
    """Dreams train q, and p stays as it is."""
    dreamt, h = model.dream(len(x))
    yield model.log_q([h_l[None] for h_l in h], dreamt)


LEARNS = {"recognition.RecognitionLearning": recognition_density}


def test_q_gets_the_updates_of_reweighted_wake_sleep_and_p_none():
    """With the same random numbers; the loss is the same, too."""
    torch.manual_seed(0)
    model = BinaryHelmholtzMachine(visible=6, layers=[4, 3], init="glorot", bias=0.0)
    x = (torch.rand(10, 6) < 0.5).float()
    found = {}
    for rule in (RecognitionLearning(k=7), ReweightedWakeSleep(k=7)):
        model.zero_grad(set_to_none=True)
        torch.manual_seed(1)
        loss = rule.backward(model, x)
        phi = [p.grad.clone() for p in model.recognition.parameters()]
        theta = [p.grad for p in model.generative.parameters()]
        found[type(rule)] = (loss, phi, theta)
    (loss, phi, theta), (other_loss, other_phi, _) = found.values()
    torch.testing.assert_close(loss, other_loss)
    for own, other in zip(phi, other_phi, strict=True):
        torch.testing.assert_close(own, other)
    assert all(gradient is None for gradient in theta)


def test_samples_are_counted_from_one():
    with pytest.raises(ValueError, match=r"k must be at least 1 \(found 0\)"):
        RecognitionLearning(k=0)
