"""Deep belief networks against enumeration."""

import pytest
import torch

from hwbench.models.dbn import DBN, UntiedDBN

SHAPES = [(4, [3]), (4, [3, 2]), (3, [3, 4, 2])]
shapes = pytest.mark.parametrize(("visible", "layers"), SHAPES)
kinds = pytest.mark.parametrize("kind", [DBN, UntiedDBN])


@pytest.mark.statistical
@kinds
@shapes
def test_weights_are_unbiased_and_bound_the_log_likelihood(
    kind, visible, layers, random_dbn, exact_dbn, all_binary
):
    """E_q[exp(log_joint − log q)] = p(x) Z, and E_q[log_joint − log q] is lower: 5 s.e."""
    model, x = random_dbn(kind, visible, layers), all_binary(visible)
    log_px, log_z = exact_dbn(model)
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
@kinds
@shapes
def test_samples_follow_the_model(kind, visible, layers, random_dbn, exact_dbn, all_binary):
    model = random_dbn(kind, visible, layers)
    means = model.sample(20_000, sweeps=30)
    expected = exact_dbn(model)[0].exp() @ all_binary(visible)
    assert ((means.mean(0) - expected).abs() < 5 * means.std(0) / len(means) ** 0.5).all()


def test_pairs_are_plain_rbms_of_its_own(random_dbn, all_binary):
    """Free energy and both conditionals, undoubled."""
    model = random_dbn(DBN, 4, [3, 2])
    pair, x, h = model.pair(2), all_binary(3), all_binary(2)
    w, b, c = model.weights[1], model.downward[1], model.upward[1]
    assert pair.couplings().weight is w
    minus = (x @ b)[:, None] + h @ c + x @ w @ h.t()
    torch.testing.assert_close(pair.free_energy(x), -minus.logsumexp(1))
    torch.testing.assert_close(pair.up(x), x @ w + c)
    torch.testing.assert_close(pair.down(h), h @ w.t() + b)


def test_without_offsets_both_ways_are_those_of_a_tied_network(random_dbn):
    """The same numbers from the same draws, so untying changes nothing at its start."""
    tied, untied = random_dbn(DBN, 4, [3, 4, 2]), random_dbn(UntiedDBN, 4, [3, 4, 2])
    untied.load_state_dict(tied.state_dict(), strict=False)
    with torch.no_grad():
        for offset in (*untied.down_offsets, *untied.up_offsets):
            offset.zero_()
    x = torch.rand(6, 4).double().round()
    found = []
    for model in (tied, untied):
        torch.manual_seed(1)
        h, log_q = model.infer(x, 5)
        below, above = model.descend(h[-1][0])
        found.append([*h, log_q, model.log_joint(x, h), below, *above, model.ascend(x, 3)])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_offsets_move_one_direction_each(random_dbn):
    model = random_dbn(UntiedDBN, 4, [3, 4, 2])
    x, h = torch.rand(6, 4).double().round(), [torch.rand(1, 6, n).double().round() for n in (3, 4)]
    before = model.log_q(h, x), model.log_directed(x, h)
    for name, moved in (("up_offsets", 0), ("down_offsets", 1)):
        with torch.no_grad():
            getattr(model, name)[1].add_(1.0)
        after = model.log_q(h, x), model.log_directed(x, h)
        assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [
            i != moved for i in range(2)
        ]
        before = after


@pytest.mark.statistical
@kinds
def test_descending_from_the_top_follows_the_directed_layers(
    kind, random_dbn, exact_dbn, all_binary
):
    """From exact states of h_{L−1} it draws x ~ p(x), enumerated: 5 s.e."""
    model, n = random_dbn(kind, 3, [3, 4, 2]), 40_000
    log_px, _ = exact_dbn(model)
    top, states = model.pair(3), all_binary(4)
    p = (-top.free_energy(states)).softmax(0).detach()
    x, h = model.descend(states[p.multinomial(n, replacement=True)])
    assert [v.shape for v in (x, *h)] == [(n, 3), (n, 3), (n, 4)]
    code = (x @ 2.0 ** torch.arange(2, -1, -1).double()).long()
    share, expected = torch.bincount(code, minlength=8) / n, log_px.exp()
    assert ((share - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt()).all()


def test_bad_input():
    with pytest.raises(ValueError, match="layer from 1 to 1"):
        DBN(2, layers=[2]).pair(0)
    with pytest.raises(ValueError, match="one or more hidden layers"):
        DBN(2, layers=[])
