"""Binary Helmholtz machines, small enough that every sum over x and h can be written out."""

import inspect
import itertools
from itertools import pairwise

import numpy as np
import pytest
import torch

from hwbench.build import check_arguments, find_class, make
from hwbench.evaluators.exact import (
    EnumeratedLogLikelihood,
    all_binary,
    exact_log_prob,
    latent_configurations,
)
from hwbench.evaluators.importance import LogLikelihood
from hwbench.models.darn import AutoregressiveLayer, AutoregressiveUnits
from hwbench.models.helmholtz import BinaryHelmholtzMachine, _kinds
from hwbench.models.layers import DeterministicLayer, SigmoidLayer, SigmoidUnits
from hwbench.models.nade import NADELayer, NADEUnits
from hwbench.protocols import TestSplit, TrainSplit

SIGMA = 5.0  # statistical tests: standard errors allowed
KINDS = ["sbn", "ar-sbn", "nade", "dsbn"]
DEPTHS = [[4], [3, 2], [2, 2, 2]]
NETS = [(sizes, kind, kind) for sizes in DEPTHS for kind in KINDS] + [
    ([3, 2], "sbn", "nade"),
    ([4], "ar-sbn", "sbn"),
    ([2, 2, 2], ["nade", "sbn", "dsbn", "ar-sbn"], ["sbn", "ar-sbn", "nade"]),
]


def randomised(model, scale=1.0):
    """Give every parameter a value of its own, so that no test passes by symmetry."""
    torch.manual_seed(7)
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, scale)
    return model


def build(net):
    sizes, generative, recognition = net
    return randomised(BinaryHelmholtzMachine(4, sizes, generative, recognition))


def x_all():
    return all_binary(4).double()


def h_all(model, x):
    """All latent configurations, each layer [K, B, units]."""
    (h,) = latent_configurations(model.layers, len(x), rows=2**20)
    return [layer.double() for layer in h]


@pytest.fixture(params=NETS, ids=str)
def model(request):
    return build(request.param)


def test_log_joint_is_the_chain_of_layers(model):
    """log p(x, h) and log q(h | x) are sums over layers; each layer has its own test."""
    x = x_all()
    h = h_all(model, x)
    log_p = model.generative[-1]().log_prob(h[-1])
    log_q = 0
    chain = [x.expand(len(h[0]), -1, -1), *h]
    for layer, (below, above) in enumerate(pairwise(chain)):
        log_p = log_p + model.generative[layer](above).log_prob(below)
        log_q = log_q + model.recognition[layer](below).log_prob(above)
    torch.testing.assert_close(model.log_joint(x, h), log_p)
    torch.testing.assert_close(model.log_q(h, x), log_q)


def test_p_and_q_sum_to_one(model):
    """Σ_x p(x) = 1 and Σ_h q(h | x) = 1 for each x."""
    x = x_all()
    assert exact_log_prob(model, x, model.layers).logsumexp(0).item() == pytest.approx(0, abs=1e-10)
    total = model.log_q(h_all(model, x), x).logsumexp(0)
    torch.testing.assert_close(total, torch.zeros_like(total), atol=1e-10, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [[12], [6, 6], [4, 4, 4]], ids=str)
def test_nets_of_twelve_hidden_units_sum_to_one(kind, sizes):
    """Σ_x p(x) = 1 over 3 pixels and 2^12 latents."""
    model = randomised(BinaryHelmholtzMachine(3, sizes, kind, kind), scale=0.7)
    with torch.no_grad():
        log_p = exact_log_prob(model, all_binary(3).double(), sizes)
    assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-10)


def log_layer_by_hand(layer, x, h):
    """log p(x | h) over rows of x and h (None: a top layer), unit after unit, in NumPy."""
    value = {name: p.detach().numpy() for name, p in layer.named_parameters()}

    def affine(name, above):
        b = value[f"{name}.bias"]
        return np.tile(b, (len(x), 1)) if above is None else b + above @ value[f"{name}.weight"].T

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    above = sigmoid(affine("hidden", h)) if isinstance(layer, DeterministicLayer) else h
    logits, total = affine("affine", above), np.zeros(len(x))
    for d in range(x.shape[1]):
        a, earlier = logits[:, d], x[:, :d]
        if isinstance(layer, AutoregressiveLayer):
            a = a + earlier @ value["weight"][d, :d]
        if isinstance(layer, NADELayer):
            a = (
                a
                + sigmoid(affine("hidden", h) + earlier @ value["encode"][:d]) @ value["decode"][d]
            )
        total += np.log(np.where(x[:, d] == 1, sigmoid(a), sigmoid(-a)))
    return total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [[12], [6, 6], [4, 4, 4]], ids=str)
def test_log_px_is_the_sum_over_latents_by_hand(kind, sizes):
    """log Σ_h Π_l p(h_{l−1} | h_l) with every layer's formula written out again."""
    model = randomised(BinaryHelmholtzMachine(3, sizes, kind, kind), scale=0.7)
    h = np.array(list(itertools.product([0.0, 1.0], repeat=12)))
    layers = np.split(h, np.cumsum(sizes)[:-1], axis=1)
    x = np.array([[1.0, 0.0, 1.0]])
    chain = [np.repeat(x, len(h), 0), *layers]
    joint = log_layer_by_hand(model.generative[-1], chain[-1], None)
    for layer, (below, above) in zip(model.generative, pairwise(chain), strict=False):
        joint = joint + log_layer_by_hand(layer, below, above)
    with torch.no_grad():
        found = exact_log_prob(model, torch.from_numpy(x), sizes).item()
    assert found == pytest.approx(np.logaddexp.reduce(joint), rel=1e-10)


def test_a_dream_accumulates_its_log_joint(model, monkeypatch):
    """Σ over layers of log Bern at the logits each unit was drawn at is log p(x, h)."""
    drawn = []
    for units in (SigmoidUnits, AutoregressiveUnits, NADEUnits):

        def trace(self, shape=(), plain=units.trace):
            x, logits = plain(self, shape)
            drawn.append((x, logits))
            return x, logits

        monkeypatch.setattr(units, "trace", trace)
    torch.manual_seed(0)
    x, h = model.dream(50)
    assert len(drawn) == len(h) + 1
    accumulated = sum(
        (v * logits.sigmoid().log() + (1 - v) * (-logits).sigmoid().log()).sum(-1)
        for v, logits in drawn
    )
    with torch.no_grad():
        joint = model.log_joint(x[None, :, :], [layer[None, :, :] for layer in h])[0]
    torch.testing.assert_close(accumulated, joint, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(v, w) for (v, _), w in zip(drawn, [*reversed(h), x], strict=True))


def test_exact_log_prob_does_not_depend_on_its_chunks(model, monkeypatch):
    x = x_all()
    whole = exact_log_prob(model, x, model.layers)
    monkeypatch.setattr("hwbench.evaluators.exact.latent_configurations.__defaults__", (48,))
    torch.testing.assert_close(exact_log_prob(model, x, model.layers), whole)


@pytest.mark.statistical
def test_importance_weights_are_unbiased(model):
    """E_q[p(x, h) / q(h | x)] = p(x) for each x, within 5 of the exact standard errors."""
    torch.manual_seed(0)
    x, k = x_all(), 5000
    exact = exact_log_prob(model, x, model.layers)
    with torch.no_grad():
        configurations = h_all(model, x)
        log_q = model.log_q(configurations, x)
        log_w = model.log_joint(x, configurations) - log_q - exact
        variance = (log_q + 2 * log_w).exp().sum(0) - 1  # a sample's own misses rare large weights
        h, log_q = model.infer(x, k)
        w = (model.log_joint(x, h) - log_q - exact).exp()
    assert ((w.mean(0) - 1).abs() / (variance / k).sqrt()).max() < SIGMA


@pytest.mark.statistical
def test_dreams_follow_p(model):
    """The frequency of each x among dreams, and of each h_1, within 5 standard errors of p."""
    torch.manual_seed(0)
    n = 5000
    x, h = model.dream(n)
    assert [tuple(v.shape) for v in (x, *h)] == [(n, s) for s in (4, *model.layers)]
    p = exact_log_prob(model, x_all(), model.layers).exp()
    code = (x @ torch.tensor([8.0, 4.0, 2.0, 1.0]).double()).long()
    frequency = torch.bincount(code, minlength=16) / n
    assert ((frequency - p).abs() / (p * (1 - p) / n).sqrt()).max() < SIGMA
    grid, configurations = x_all(), h_all(model, x_all())
    joint = model.log_joint(grid, configurations).exp()  # [configurations, 16]
    expected = (joint[..., None] * configurations[0]).sum((0, 1))
    error = (expected * (1 - expected) / n).sqrt()
    assert ((h[0].mean(0) - expected).abs() / error).max() < SIGMA


@pytest.mark.statistical
def test_inferred_latents_follow_q(model):
    """The mean of each latent under q, within 5 standard errors, for each x."""
    torch.manual_seed(0)
    x, k = x_all(), 5000
    q = model.log_q(h_all(model, x), x).exp()
    drawn = model.infer(x, k).h
    for layer, configurations in zip(drawn, h_all(model, x), strict=True):
        expected = (q[..., None] * configurations).sum(0)
        error = (expected * (1 - expected) / k).sqrt()
        assert ((layer.mean(0) - expected).abs() / error).max() < SIGMA


def test_inferred_log_q_is_log_q(model):
    """Values with and without gradients, and the gradient; samples carry none."""
    torch.manual_seed(0)
    x = x_all()
    h, log_q = model.infer(x, 3)
    assert all(not layer.requires_grad for layer in h)
    torch.testing.assert_close(log_q, model.log_q(h, x))
    parameters = list(model.recognition.parameters())
    for a, b in zip(
        torch.autograd.grad(log_q.sum(), parameters, allow_unused=True),
        torch.autograd.grad(model.log_q(h, x).sum(), parameters, allow_unused=True),
        strict=True,
    ):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)
    torch.manual_seed(0)
    with torch.no_grad():
        again = model.infer(x, 3)
    torch.testing.assert_close(again.log_q, log_q.detach())


@pytest.mark.statistical
def test_importance_sampling_finds_the_exact_likelihood(model):
    """In float32, as evaluations run; within 5 Monte Carlo errors, plus the bias Var(w) / 2K.

    The errors are those of repeats: k̂ knows no tails of weights that take a few values only.
    """
    model = model.float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.3)  # p and q near each other, so that the error bars can be trusted
    split = TestSplit(all_binary(4).to(torch.uint8))
    found = LogLikelihood(k=500, repeats=12)(model, split, seed=0).metrics["log_likelihood"]
    exact = EnumeratedLogLikelihood()(model, split, seed=0).metrics["log_likelihood"].value
    assert abs(found.value - exact) < SIGMA * found.mc_se + 12 * len(split) / 2 * found.mc_se**2
    assert found.mc_se < 0.1


def test_sample_gives_means_of_pixels(model):
    torch.manual_seed(0)
    means = model.sample(50)
    assert means.shape == (50, 4)
    assert ((means > 0) & (means < 1)).all()


def test_weights_do_not_vary_where_q_is_the_posterior():
    """Each pixel sees one latent, so that the posterior is a product of logistic functions of x.

    log q(h_j = 1 | x) / q(h_j = 0 | x) = a_j + Σ_{d of j} x_d w_d + softplus(b_d) − softplus(b_d +
    w_d).
    """
    torch.manual_seed(3)
    model = randomised(BinaryHelmholtzMachine(4, [2]))
    p, top, q = model.generative[0].affine, model.generative[1].affine, model.recognition[0].affine
    with torch.no_grad():
        p.weight *= torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]).double()
        q.weight.copy_(p.weight.T)
        softplus = torch.nn.functional.softplus
        change = softplus(p.bias[:, None]) - softplus(p.bias[:, None] + p.weight)
        q.bias.copy_(top.bias + change.sum(0))
        x = x_all()
        h, log_q = model.infer(x, 100)
        log_w = model.log_joint(x, h) - log_q
    exact = exact_log_prob(model, x, [2])
    assert log_w.var(0).max() < 1e-24
    torch.testing.assert_close(log_w, exact.expand(100, 16))


def test_kinds_are_placed_where_they_are_named():
    model = BinaryHelmholtzMachine(
        6, [5, 3], ["nade", "dsbn", "dsbn"], ["dsbn", "nade"], nade_hidden=2
    )
    assert [type(layer) for layer in model.generative] == [
        NADELayer,
        DeterministicLayer,
        SigmoidLayer,
    ]
    assert [type(layer) for layer in model.recognition] == [DeterministicLayer, NADELayer]
    assert model.generative[0].encode.shape == (6, 2)
    assert model.recognition[1].encode.shape == (3, 2)
    shared = {id(p) for p in model.generative.parameters()} & {
        id(p) for p in model.recognition.parameters()
    }
    assert not shared


def test_options_reach_the_layers():
    model = BinaryHelmholtzMachine(6, [5], "sbn", "nade", bias=0.5, clamped=["generative"])
    assert all(
        (layer.output_bias == 0.5).all() for layer in [*model.generative, *model.recognition]
    )
    assert all(layer.clamped for layer in model.generative)
    assert not any(layer.clamped for layer in model.recognition)
    small, glorot = (
        BinaryHelmholtzMachine(60, [50], init=init).recognition[0].affine.weight.abs().max()
        for init in ("small", "glorot")
    )
    assert small < glorot / 30
    assert exact_log_prob(model.double(), all_binary(6).double(), [5]).logsumexp(
        0
    ).item() == pytest.approx(0, abs=1e-9)


def test_output_bias_starts_at_the_data_where_asked():
    torch.manual_seed(0)
    train = TrainSplit((torch.rand(1000, 4) < torch.tensor([0.0, 0.2, 0.5, 1.0])).to(torch.uint8))
    plain, adapted = (
        BinaryHelmholtzMachine(4, [3]),
        BinaryHelmholtzMachine(4, [3], output_bias="data"),
    )
    for model in (plain, adapted):
        model.adapt(train)
    assert (plain.generative[0].output_bias == -1).all()
    expected = train.means().clamp(1e-3, 1 - 1e-3).logit()
    torch.testing.assert_close(adapted.generative[0].output_bias, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": []}, "layers must list one or more sizes"),
        ({"layers": [5, 0]}, "each at least 1"),
        (
            {"layers": [5, 3], "generative": ["sbn", "sbn"]},
            "generative lists 2 layers where 3 are needed",
        ),
        (
            {"layers": [5, 3], "recognition": ["sbn"]},
            "recognition lists 1 layers where 2 are needed",
        ),
    ],
)
def test_what_does_not_fit_is_one_clear_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        BinaryHelmholtzMachine(6, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"visible": 0}, r"visible must be at least 1 \(found 0\)"),
        ({"nade_hidden": 0}, r"nade_hidden must be at least 1 \(found 0\)"),
        ({"init": "foo"}, r"init must be small or glorot \(found 'foo'\)"),
        ({"clamped": ["foo"]}, r"clamped must be generative or recognition \(found 'foo'\)"),
        ({"output_bias": "foo"}, r"output_bias must be init or data \(found 'foo'\)"),
    ],
)
def test_an_argument_that_is_not_allowed_is_one_clear_error(arguments, message):
    model = BinaryHelmholtzMachine.__new__(BinaryHelmholtzMachine)
    start = inspect.unwrap(BinaryHelmholtzMachine.__init__)  # without the tests' type checks
    with pytest.raises(ValueError, match=f"^BinaryHelmholtzMachine: {message}$"):
        start(model, **{"visible": 6, "layers": [3], **arguments})


@pytest.mark.parametrize("width", [1, 3, 5])
def test_points_of_another_width_are_one_clear_error(width):
    """Also of one unit, which would broadcast; whatever is asked of the machine."""
    model, x = BinaryHelmholtzMachine.tiny(), torch.zeros(2, width)
    h = model.infer(torch.zeros(2, 4), 3).h
    message = rf"^BinaryHelmholtzMachine: x must have visible = 4 units \(found {width}\)$"
    for ask in (
        lambda: model.infer(x, 3),
        lambda: model.log_q(h, x),
        lambda: model.log_joint(x, h),
        lambda: model.log_likelihood(x, h),
    ):
        with pytest.raises(ValueError, match=message):
            ask()


def test_an_unknown_kind_is_named():
    kinds = inspect.unwrap(_kinds)  # without the type checks of the tests
    with pytest.raises(ValueError, match="'darn'; allowed: sbn, ar-sbn, nade, dsbn"):
        kinds("recognition", ["darn"], 1, "")


def test_specs_are_checked_before_anything_is_built():
    cls = find_class("model", "helmholtz.BinaryHelmholtzMachine")
    assert cls is BinaryHelmholtzMachine
    assert not check_arguments(
        cls, {"layers": [5, 3], "generative": ["sbn", "nade", "sbn"], "clamped": ["generative"]}
    )
    for wrong in (
        {"layers": [0]},
        {"layers": []},
        {"layers": [5], "recognition": "rbm"},
        {"layers": 5},
        {},
    ):
        assert check_arguments(cls, wrong)
    with torch.device("meta"):
        make("model", {"use": "nade.NADE", "order": 23}, visible=6)
        make(
            "model",
            {"use": "helmholtz.BinaryHelmholtzMachine", "layers": [3], "generative": "nade"},
            visible=6,
        )


def test_binary_units_are_not_pathwise():
    with pytest.raises(ValueError, match="pathwise"):
        BinaryHelmholtzMachine.tiny().infer(torch.zeros(2, 4), 3, pathwise=True)


def test_log_likelihood_is_the_first_factor_of_the_joint(model):
    """log p(x | h_1) = log p(x, h) − log p(h) with p(h) = Σ_x p(x, h); shared latents broadcast."""
    x = x_all()
    h = h_all(model, x)
    with torch.no_grad():
        joint = model.log_joint(x, h)  # [K, B]: every configuration and every x
        expected = joint - joint.logsumexp(1, keepdim=True)
        torch.testing.assert_close(model.log_likelihood(x, h), expected)
        torch.testing.assert_close(model.log_likelihood(x, [h_l[:, :1] for h_l in h]), expected)
        one = model.log_likelihood(x[3:4], [h_l[:, :1] for h_l in h])
        torch.testing.assert_close(one, expected[:, 3:4])
