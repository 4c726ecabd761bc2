"""Deep belief networks against enumeration."""

import pytest
import torch

from hwbench.models.dbn import DBN
from hwbench.protocols import TrainSplit

SHAPES = [(4, [3]), (4, [3, 2]), (3, [3, 4, 2])]
shapes = pytest.mark.parametrize(("visible", "layers"), SHAPES)


def random_dbn(visible, layers):
    torch.manual_seed(0)
    model = DBN(visible, layers=layers).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.8)
    return model


def exact_log_px(model, all_binary):
    """log p(x) of every x: the top RBM enumerated, then down layer by layer."""
    weight, b, c = model.weights[-1], model.downward[-1], model.upward[-1]
    low, high = all_binary(len(b)), all_binary(len(c))
    minus = (low @ b)[:, None] + high @ c + low @ weight @ high.t()
    log_p = (minus - minus.logsumexp((0, 1))).logsumexp(1)
    for weight, b in list(zip(model.weights, model.downward, strict=True))[-2::-1]:
        below, above = all_binary(len(b)), all_binary(weight.shape[1])
        logits = (above @ weight.t() + b)[:, None]
        log_cond = torch.where(below == 1, logits, -logits)
        log_p = (torch.nn.functional.logsigmoid(log_cond).sum(2) + log_p[:, None]).logsumexp(0)
    return log_p, minus.logsumexp((0, 1))


@pytest.mark.statistical
@shapes
def test_weights_are_unbiased_and_bound_the_log_likelihood(visible, layers, all_binary):
    """E_q[exp(log_joint − log q)] = p(x) Z, and E_q[log_joint − log q] is lower: 5 s.e."""
    model, x = random_dbn(visible, layers), all_binary(visible)
    log_px, log_z = exact_log_px(model, all_binary)
    assert log_px.logsumexp(0).item() == pytest.approx(0.0, abs=1e-10)
    n = 20_000
    h, log_q = model.infer(x, n)
    log_w = (model.log_joint(x, h) - log_q - log_z - log_px).detach()
    if len(layers) == 1:  # nothing is drawn
        torch.testing.assert_close(log_w, torch.zeros_like(log_w))
        return
    w, se = log_w.exp(), log_w.exp().std(0) / n**0.5
    assert ((w.mean(0) - 1).abs() < 5 * se).all()
    assert (log_w.mean(0) < -5 * log_w.std(0) / n**0.5).all()


@pytest.mark.statistical
@shapes
def test_samples_follow_the_model(visible, layers, all_binary):
    model = random_dbn(visible, layers)
    means = model.sample(20_000, sweeps=30)
    expected = exact_log_px(model, all_binary)[0].exp() @ all_binary(visible)
    assert ((means.mean(0) - expected).abs() < 5 * means.std(0) / len(means) ** 0.5).all()


def test_pairs_are_plain_rbms_of_its_own(all_binary):
    """Free energy and both conditionals, undoubled."""
    model = random_dbn(4, [3, 2])
    pair, x, h = model.pair(2), all_binary(3), all_binary(2)
    w, b, c = model.weights[1], model.downward[1], model.upward[1]
    assert pair.couplings().weight is w
    minus = (x @ b)[:, None] + h @ c + x @ w @ h.t()
    torch.testing.assert_close(pair.free_energy(x), -minus.logsumexp(1))
    torch.testing.assert_close(pair.up(x), x @ w + c)
    torch.testing.assert_close(pair.down(h), h @ w.t() + b)


def test_bad_input():
    with pytest.raises(ValueError, match=r"DBN: its visible units are binary, .* found 0 to 7"):
        DBN(2, layers=[2]).adapt(TrainSplit(torch.tensor([[0.0, 7.0]])))
    with pytest.raises(ValueError, match="layer from 1 to 1"):
        DBN(2, layers=[2]).pair(0)
