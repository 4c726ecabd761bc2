"""Deep autoencoders against their formulas, and the net that they become."""

import pytest
import torch

from hwbench.models.autoencoder import FineTunedAutoencoder
from hwbench.protocols import TrainSplit, ValidationSplit
from hwbench.rules.supervised import Backpropagation


def made(tied=True, layers=(4, 3, 2)):
    torch.manual_seed(0)
    model = FineTunedAutoencoder(visible=5, classes=3, layers=list(layers), tied=tied).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.8)
    return model


@pytest.mark.parametrize("tied", [True, False])
def test_each_layer_gives_back_the_one_below_by_the_formula(tied):
    model = made(tied)
    x = below = torch.rand(6, 5).double()
    for layer, encoder in enumerate(model.net.layers, 1):
        torch.testing.assert_close(model.ascend(x, layer - 1), below.detach())
        w, c, b = encoder.weight.t(), encoder.bias, model.downward[layer - 1]
        v = w.t() if tied else model.decoders[layer - 1]
        h = 1 / (1 + torch.exp(-(below @ w + c)))
        torch.testing.assert_close(model.reconstruct(below, layer), h @ v + b)
        below = h
    assert len(model.decoders) == (0 if tied else 3)


def test_the_net_begins_as_the_encoders():
    model, x, reached = made(), torch.rand(6, 5).double(), []
    before = [p.clone() for p in model.net.layers.parameters()]
    model.start()
    assert all(
        torch.equal(a, b) for a, b in zip(before, model.net.layers.parameters(), strict=True)
    )
    assert model.net.top.weight.abs().max() < 0.1
    assert (model.net.top.bias == 0).all()
    for layer in model.net.layers:
        layer.register_forward_hook(lambda _, __, out: reached.append(out.sigmoid()))
    model.logits(x)
    for layer, h in enumerate(list(reached), 1):  # going up calls the layers again
        torch.testing.assert_close(h, model.ascend(x, layer))


def test_fine_tuning_moves_the_net_and_no_decoder():
    model = made(tied=False, layers=(8, 4)).float()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x = torch.rand(40, 5).round()
    y = x[:, 0].long() + x[:, 1].long()
    fit = Backpropagation(epochs=150, lr=0.3, batch_size=10)
    fit(model, TrainSplit(x, y), ValidationSplit(x, y), 0, lambda fraction, note: None)
    assert (model.logits(x).argmax(1) == y).float().mean() > 0.9
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("net."), name


def test_bad_input():
    with pytest.raises(ValueError, match="no labels to learn"):
        FineTunedAutoencoder(visible=2, classes=0, layers=[2])
    seven = TrainSplit(torch.tensor([[0.0, 7.0, 0.0, 0.0]]), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"FineTunedAutoencoder: .* found 0 to 7"):
        FineTunedAutoencoder.tiny().adapt(seven)
    with pytest.raises(ValueError, match="needs labels; this TrainSplit has none"):
        FineTunedAutoencoder.tiny().adapt(TrainSplit(torch.zeros(1, 4)))
    with pytest.raises(ValueError, match="layer from 1 to 2"):
        FineTunedAutoencoder.tiny().reconstruct(torch.zeros(1, 2), 3)
