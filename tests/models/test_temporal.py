import itertools
import math

import numpy as np
import pytest
import torch

from hwbench.evaluators.temporal import FrameLogLikelihood
from hwbench.models.smooth import SmoothHelmholtzMachine
from hwbench.models.temporal import LSTMBernoulli, TemporalHelmholtzMachine
from hwbench.protocols import TestSplit, TrainSplit
from hwbench.rules.bounds import ELBO

SHAPE = (3, 2, 1)
EVERY = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)))


def machine(layers=(1,), recurrent=3, seed=0):
    torch.manual_seed(seed)
    model = TemporalHelmholtzMachine(6, SHAPE, list(layers), recurrent).double()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.7)
        for net in model.recognition:  # a wide q, so that weights have a variance
            net.covariance.weight.mul_(0.2)
            net.covariance.bias.fill_(0.3)
    return model


def frame_log_px(model, x):
    """Log p(x_t | x_<t) [B, T] for one latent unit a frame, by quadrature over p(h_t | z_t)."""
    t, w = np.polynomial.hermite_e.hermegauss(60)
    t, log_w = torch.from_numpy(t), torch.from_numpy(w / math.sqrt(2 * math.pi)).log()
    frames, z = model._frames(x)
    p = model.generative[1](z)
    h = p.mean + p.root(t[:, None, None, None])
    logits = model.generative[0](torch.cat([h, z.expand(60, -1, -1, -1)], -1))
    log_p = torch.distributions.Bernoulli(logits=logits).log_prob(frames.expand_as(logits)).sum(-1)
    return (log_p + log_w[:, None, None]).logsumexp(0).detach()


@pytest.mark.parametrize("cls", [TemporalHelmholtzMachine, LSTMBernoulli])
def test_no_frame_sees_itself_or_what_comes_after(cls):
    torch.manual_seed(0)
    model = cls.tiny().double()
    x = torch.tensor([[0.0, 1.0, 1.0, 0.0]]).double()
    other = torch.tensor([[0.0, 1.0, 0.0, 1.0]]).double()  # differs in the second frame only
    z, z_other = (model.history(v.view(1, 2, 2)) for v in (x, other))
    torch.testing.assert_close(z, z_other)
    earlier = torch.tensor([[1.0, 1.0, 1.0, 0.0]]).double()
    z_earlier = model.history(earlier.view(1, 2, 2))
    torch.testing.assert_close(z[:, 0], z_earlier[:, 0])
    assert not torch.allclose(z[:, 1], z_earlier[:, 1])


def test_stepping_is_the_pass_over_all_frames():
    torch.manual_seed(0)
    model = LSTMBernoulli(6, SHAPE, recurrent=3).double()
    x = EVERY[[5, 40]].double().view(2, 3, 2)
    frame, state, found = torch.zeros(2, 2).double(), None, []
    for t in range(3):
        z, state = model.history.step(frame, state)
        found.append(z)
        frame = x[:, t]
    torch.testing.assert_close(torch.stack(found, 1), model.history(x))


def test_quadrature_sums_to_one():
    total = frame_log_px(machine(), EVERY.double()).sum(1).logsumexp(0)
    assert total.item() == pytest.approx(0.0, abs=1e-10)


@pytest.mark.statistical
def test_frame_weights_are_unbiased():
    """E w_t = p(x_t | x_<t), within 5 standard errors."""
    model, x = machine(), EVERY[::7].double()
    torch.manual_seed(0)
    w = model.frame_log_weights(x, 20_000).detach().exp()
    error = w.std(0) / len(w) ** 0.5
    assert ((w.mean(0) - frame_log_px(model, x).exp()).abs() < 5 * error).all()


def test_sums_over_frames_are_the_whole():
    model, x = machine(layers=(2, 1)), EVERY[::7].double()
    torch.manual_seed(0)
    h, log_q = model.infer(x, 5)
    torch.manual_seed(0)
    weights = model.frame_log_weights(x, 5)
    torch.testing.assert_close(weights.sum(-1), model.log_joint(x, h) - log_q)
    torch.testing.assert_close(model.log_q(h, x), log_q)
    assert [h_l.shape for h_l in h] == [(5, 10, 6), (5, 10, 3)]


def test_the_bound_of_the_rule_is_the_sum_over_frames():
    """F(x) = −Σ_t E_q [log p(x_t, h_t | z_t) − log q(h_t | x_t, z_t)], at the same samples."""
    model, x = machine(layers=(2, 1)), EVERY[::7].double()
    torch.manual_seed(0)
    loss = ELBO(k=5)(model, x)
    torch.manual_seed(0)
    torch.testing.assert_close(loss, -model.frame_log_weights(x, 5).sum(-1).mean())


def test_without_lstm_frames_are_smooth_helmholtz_machines():
    model = machine(layers=(2, 1), recurrent=0)
    plain = SmoothHelmholtzMachine(2, [2, 1], covariance="network").double()
    plain.load_state_dict(model.state_dict())
    x = EVERY[::7].double()
    torch.manual_seed(0)
    h, log_q = model.infer(x, 5)
    frames = x.view(-1, 2)
    split = [h_l.view(5, -1, h_l.shape[-1] // 3) for h_l in h]
    joint = plain.log_joint(frames, split).view(5, -1, 3).sum(-1)
    torch.testing.assert_close(model.log_joint(x, h), joint)
    torch.testing.assert_close(log_q, plain.log_q(split, frames).view(5, -1, 3).sum(-1))


def test_the_gradient_is_that_of_the_two_loops():
    """Errors ∂F/∂z_t of each frame, stored, then sent back through the LSTM's own time."""
    model, x = machine(layers=(2, 1)), EVERY[::7].double()
    torch.manual_seed(0)
    ELBO(k=2).backward(model, x)
    whole = {n: p.grad.clone() for n, p in model.named_parameters()}

    model.zero_grad()
    frames, z = model._frames(x)
    detached = z.detach().requires_grad_()
    torch.manual_seed(0)
    h, log_q = model._infer(frames, detached, 2, pathwise=True)
    cost = (log_q - model._log_p(frames, h, detached)).mean((0, 1))  # [T]
    errors = torch.zeros_like(z)
    for t in range(3):
        cost[t].backward(retain_graph=True)  # the first loop, frame by frame
        errors[:, t] = detached.grad[:, t]
    z.backward(errors)  # the second
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, whole[name])
    assert whole["history.lstm.weight_hh_l0"].abs().sum() > 0


@pytest.mark.statistical
def test_the_evaluator_agrees_with_quadrature_and_with_exact_values():
    """The mean over points, 10 seeds: 5 standard errors and the bias −σ²/2 of each frame's log."""
    model, points = machine(), TestSplit(EVERY.byte())
    exact = frame_log_px(model, EVERY.double()).mean().item()
    evaluator = FrameLogLikelihood(k=1000)
    found = [evaluator(model.float(), points, seed=s) for s in range(10)]
    runs = np.array([f.per_point["log_px"] for f in found])
    error = runs.mean(1).std(ddof=1) / math.sqrt(10)
    bias = 3 * runs.var(0, ddof=1).mean() / 2
    assert bias < 0.005
    assert -5 * error - 2 * bias < runs.mean() - exact < 5 * error
    metrics = found[0].metrics
    assert metrics["log_likelihood"].value == pytest.approx(runs[0].mean(), abs=1e-5)
    assert metrics["log_likelihood"].kind == "lower bound"
    assert metrics["elbo"].value < metrics["log_likelihood"].value

    torch.manual_seed(0)
    lstm = LSTMBernoulli(6, SHAPE, recurrent=3)
    found = FrameLogLikelihood(k=7)(lstm, TestSplit(EVERY.byte()), seed=0)
    np.testing.assert_allclose(
        found.per_point["log_px"], lstm.log_prob(EVERY).detach() / 3, rtol=1e-5
    )
    assert found.metrics["log_likelihood"].kind == "exact"


def test_adapt_starts_at_the_pixel_means_over_frames():
    x = torch.tensor([[0, 1, 0, 1, 0, 0], [0, 1, 1, 1, 0, 1]], dtype=torch.uint8)
    for model in (machine(), LSTMBernoulli(6, SHAPE)):
        model.adapt(TrainSplit(x))
        bias = model.generative[0].bias if hasattr(model, "generative") else model.logits.bias
        torch.testing.assert_close(bias.detach().sigmoid().float(), torch.tensor([1 / 6, 5 / 6]))


@pytest.mark.parametrize("shape", [(6,), (4, 2, 1), (1, 6, 1)])
def test_bad_shapes(shape):
    with pytest.raises(ValueError, match="a sequence has a shape"):
        TemporalHelmholtzMachine(6, shape, [1])
    with pytest.raises(ValueError, match="k ≥ 1"):
        FrameLogLikelihood(k=0)
    with pytest.raises(ValueError, match="layers must list"):
        TemporalHelmholtzMachine(6, SHAPE, [])
