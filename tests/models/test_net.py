"""Nets against their formulas; the net that a deep Boltzmann machine becomes against mean field."""

import pytest
import torch

from hwbench.models.finetuned import FineTunedDBM, FineTunedDBN
from hwbench.models.net import Net
from hwbench.protocols import TrainSplit, ValidationSplit
from hwbench.rules.supervised import Backpropagation


def random_machine(layers):
    torch.manual_seed(0)
    model = FineTunedDBM(visible=5, classes=3, layers=layers).double()
    with torch.no_grad():
        for p in [*model.weights, *model.biases, *model.downward]:
            p.normal_(0, 0.8)
    return model


def test_logits_are_those_of_the_formula():
    torch.manual_seed(0)
    model = Net(visible=4, classes=3, hidden=[3, 2])
    x = torch.rand(5, 4)
    (w1, b1), (w2, b2) = ((layer.weight, layer.bias) for layer in model.net.layers)
    h = ((x @ w1.t() + b1).sigmoid() @ w2.t() + b2).sigmoid()
    expected = h @ model.net.top.weight.t() + model.net.top.bias
    torch.testing.assert_close(model.logits(x), expected)


@pytest.mark.parametrize("layers", [[4, 3], [3, 4, 2]])
def test_the_net_begins_as_a_sweep_of_mean_field(layers):
    """At a fixed point its hidden layers are the means μ_l themselves."""
    model, x = random_machine(layers), torch.rand(6, 5).double().round()
    model.iterations = 2000
    model.start()
    means = model.mean_field(x, 2000, 1e-10)
    reached = []
    for layer in model.net.layers:
        layer.register_forward_hook(lambda _, __, out: reached.append(out.sigmoid()))
    logits = model.logits(x)
    for h, mean in zip(reached, means, strict=True):
        torch.testing.assert_close(h, mean, atol=1e-5, rtol=0)
    assert logits.shape == (6, 3)


def test_fine_tuning_moves_the_net_and_not_the_machine():
    model = random_machine([4, 3]).float()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x = torch.rand(40, 5).round()
    y = x[:, 0].long() + x[:, 1].long()
    fit = Backpropagation(epochs=100, lr=0.3, batch_size=10)
    fit(model, TrainSplit(x, y), ValidationSplit(x, y), 0, lambda fraction, note: None)
    assert (model.logits(x).argmax(1) == y).float().mean() > 0.9
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("net."), name


def test_the_net_of_a_belief_network_begins_as_its_way_up():
    torch.manual_seed(0)
    model = FineTunedDBN(visible=5, classes=3, layers=[4, 3])
    with torch.no_grad():
        for p in [*model.weights, *model.upward]:
            p.normal_(0, 0.8)
    model.start()
    x, reached = torch.rand(6, 5), []
    for layer in model.net.layers:
        layer.register_forward_hook(lambda _, __, out: reached.append(out.sigmoid()))
    model.logits(x)
    for layer, h in enumerate(reached, 1):
        torch.testing.assert_close(h, model.ascend(x, layer))


def test_a_set_without_classes_is_refused():
    with pytest.raises(ValueError, match="no labels to learn"):
        Net(visible=2, classes=0, hidden=[])
    with pytest.raises(ValueError, match="no labels to learn"):
        FineTunedDBM(visible=2, classes=0, layers=[2, 2])
