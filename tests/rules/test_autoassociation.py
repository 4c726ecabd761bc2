"""Reconstruction against finite differences, and toys that an auto-associator can represent."""

import math

import pytest
import torch

from hwbench.models.autoencoder import FineTunedAutoencoder
from hwbench.rules.autoassociation import GreedyReconstruction


def made(tied, layers=(4, 3, 2), visible=5):
    torch.manual_seed(0)
    model = FineTunedAutoencoder(visible, classes=2, layers=list(layers), tied=tied).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.8)
    return model


def learn(model, x, layer, steps, rate):
    rule, losses = GreedyReconstruction(layer), []
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        losses.append(rule.backward(model, x).item())
        optimizer.step()
    return losses


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_the_gradient_by_finite_differences(tied, layer):
    """Of the cross-entropy written out; zero for the parameters of all other layers."""
    model, x = made(tied), torch.rand(6, 5).double()
    y = model.ascend(x, layer - 1)

    def value():
        p = model.reconstruct(y, layer).sigmoid()
        return -(y * p.log() + (1 - y) * (1 - p).log()).sum(1).mean().item()

    rule = GreedyReconstruction(layer)
    assert rule.backward(model, x).item() == pytest.approx(value())
    own = {f"net.layers.{layer - 1}.weight", f"net.layers.{layer - 1}.bias"}
    own |= {f"downward.{layer - 1}"} | (set() if tied else {f"decoders.{layer - 1}"})
    assert {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()} == own
    for name, p in model.named_parameters():
        if name in own:
            flat = p.data.view(-1)
            for i in range(len(flat)):
                ends = []
                for step in (1e-5, -2e-5):
                    flat[i] += step
                    ends.append(value())
                flat[i] += 1e-5
                expected = (ends[0] - ends[1]) / 2e-5
                assert p.grad.view(-1)[i].item() == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_the_identity_can_be_represented():
    """W = s I with thresholds of s/2 gives back binary points: 4 log(1 + e^(−s/2)) nats."""
    x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).double()
    model, s = made(True, layers=(4,), visible=4), 40.0
    with torch.no_grad():
        encoder = model.net.layers[0]
        encoder.weight.copy_(s * torch.eye(4))
        encoder.bias.fill_(-s / 2)
        model.downward[0].fill_(-s / 2)
    loss = GreedyReconstruction()(model, x).item()
    assert loss == pytest.approx(4 * math.log1p(math.exp(-s / 2)), rel=1e-3)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.usefixtures("unchecked")
def test_it_learns_to_give_back_what_fits_through(tied):
    """Four patterns through three units: from chance to almost no loss; then a second layer."""
    patterns = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]])
    x = torch.cat([patterns, 1 - patterns[2:]]).double()
    model = made(tied, layers=(3, 3), visible=6)
    losses = learn(model, x, 1, 1500, 0.5)
    assert losses[0] > 3.0
    assert losses[-1] < 0.1
    assert (model.reconstruct(x, 1) > 0).double().equal(x)
    above = learn(model, x, 2, 1500, 0.5)
    y = model.ascend(x, 1)
    entropy = (torch.special.entr(y) + torch.special.entr(1 - y)).sum(1).mean().item()
    assert entropy < above[-1] < entropy + 0.1 < above[0]


def test_a_layer_leaves_the_others_alone():
    model = made(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    learn(model, torch.rand(6, 5).double(), 2, 3, 0.1)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"net.layers.1.weight", "net.layers.1.bias", "downward.1", "decoders.1"}


def test_bad_input():
    with pytest.raises(ValueError, match="no layer 4 to pretrain; the model has 3"):
        GreedyReconstruction(layer=4).check(made(True))
