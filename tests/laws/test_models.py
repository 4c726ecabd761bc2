"""Every class of the shelf of models, found by itself and built by `tiny()`, obeys its protocol."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from hwbench import build
from hwbench.protocols import (
    CountEnergyModel,
    Density,
    Dreamer,
    EnergyModel,
    ExactDreamer,
    ExponentialDreamer,
    GenerativeModel,
    HelmholtzMachine,
    Model,
    RealEnergyModel,
)

SHELF = build.shelf("model")
SIGMA = 5.0  # statistical tests: standard errors allowed
MOST = 10  # observed units that are enumerated


def every(protocol, but=()):
    """Parametrize over the classes that satisfy a protocol, but for those of some other."""
    found = {
        name: cls
        for name, cls in SHELF.items()
        if issubclass(cls, protocol) and not issubclass(cls, but)
    }
    return pytest.mark.parametrize("cls", found.values(), ids=found.keys())


def is_real(model):
    """Return whether observed units are real numbers: those of dreams say so."""
    if isinstance(model, Dreamer):
        x, _ = model.dream(64)
        return bool(((x != 0) & (x != 1)).any())
    return isinstance(model, RealEnergyModel)


def all_points(model):
    """Return every binary point [2^D, D], where there are not too many; a grid of real ones.

    Of counts it returns those of every text of `length` words, in every order.
    """
    if isinstance(model, CountEnergyModel):
        words = torch.cartesian_prod(*[torch.arange(model.visible)] * model.length)
        return torch.nn.functional.one_hot(words, model.visible).sum(1).float()
    if is_real(model):
        assert model.visible <= 2, "tiny() has too many observed units for a grid"
        axis = torch.linspace(-12, 12, 301)
        return torch.cartesian_prod(*[axis] * model.visible).view(-1, model.visible)
    if model.visible > MOST:
        pytest.skip(f"tiny() has {model.visible} observed units: too many points to enumerate")
    bits = torch.arange(model.visible)
    return (torch.arange(2**model.visible)[:, None] >> bits & 1).float()


def features(model, x):
    """Return functions of a point whose means say what its distribution is."""
    if isinstance(model, RealEnergyModel):
        return torch.cat([x, (x[:, :, None] * x[:, None]).flatten(1)], 1)
    assert ((x == 0) | (x == 1)).all()
    code = (x @ (2.0 ** torch.arange(model.visible))).long()
    return torch.nn.functional.one_hot(code, 2**model.visible).float()


def assert_mean(samples, expected):
    """The mean over the first dimension lies within SIGMA standard errors of what is expected."""
    se = samples.std(0) / math.sqrt(len(samples))
    z = (samples.mean(0) - expected).abs() / se.clamp_min(1e-7)
    assert z.max() < SIGMA, f"{z.max():.1f} standard errors off"


def refusal(model):
    """Return why a model gives no pathwise samples, or None if it does."""
    try:
        model.infer(torch.zeros(1, model.visible), 1, pathwise=True)
    except ValueError as error:
        return str(error)
    return None


def draws_weights(model, h, x):
    """Return whether log p or log q depends on draws of the model's own."""
    return any(
        not torch.equal(density(), density())
        for density in (lambda: model.log_joint(x, h), lambda: model.log_q(h, x))
    )


def behaviour(model):
    """Return what a model computes at a fixed seed, by protocol."""
    x = (torch.rand(6, model.visible, generator=torch.Generator().manual_seed(3)) < 0.5).float()
    out = {}
    torch.manual_seed(4)
    with torch.no_grad():
        if isinstance(model, GenerativeModel):
            out["sample"] = model.sample(3)
        if isinstance(model, Density):
            out["log_prob"] = model.log_prob(x)
        if isinstance(model, EnergyModel):
            out["free_energy"] = model.free_energy(x)
        if isinstance(model, HelmholtzMachine):
            h, log_q = model.infer(x, 2)
            out |= {"log_q": log_q, "log_joint": model.log_joint(x, h)}
    return out


def test_the_shelf_is_not_empty():
    assert {"vae.VAE", "helmholtz.BinaryHelmholtzMachine", "rbm.RBM"} <= set(SHELF)


# --- any model ------------------------------------------------------------------------------------


@every(Model)
def test_a_seed_fixes_the_initial_parameters(cls):
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        models.append(cls.tiny())
        torch.rand(7)  # what others draw meanwhile does not matter
    assert type(models[0]) is cls
    assert models[0].visible >= 1
    a, b = (model.state_dict() for model in models)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert all(value.isfinite().all() for value in a.values() if value.is_floating_point())


@every(Model)
def test_a_seed_fixes_what_data_change(cls, points_for):
    """The same data give the same start, and the data stay what they were."""
    torch.manual_seed(5)
    model = cls.tiny()
    twin = copy.deepcopy(model)
    train = points_for(model)
    values = train.values.clone()
    for either in (model, twin):
        torch.manual_seed(6)
        either.adapt(train)
    assert torch.equal(train.values, values)
    for name, value in model.state_dict().items():
        assert torch.equal(value, twin.state_dict()[name]), name
        assert not value.is_floating_point() or value.isfinite().all(), name


@every(Model)
def test_saved_and_loaded_it_computes_the_same(cls, away, tmp_path):
    """All that it knows is in its state; another start is overwritten by it."""
    model = away(cls)
    state = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    torch.manual_seed(99)
    other = cls.tiny()
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    expected, found = behaviour(model), behaviour(other)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


# --- generative models ----------------------------------------------------------------------------


@every(GenerativeModel)
def test_samples_are_means_of_the_observed_units(cls, away):
    model = away(cls)
    means = []
    for _ in range(2):
        torch.manual_seed(1)
        means.append(model.sample(5))
    assert torch.equal(*means)
    assert means[0].shape == (5, model.visible)
    assert not means[0].requires_grad
    assert is_real(model) or ((means[0] >= 0) & (means[0] <= 1)).all()
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.statistical
@every(GenerativeModel)
def test_samples_average_to_the_means_of_p(cls, away):
    """Against p(x) enumerated where it is known, else against dreams."""
    model = away(cls)
    torch.manual_seed(2)
    samples = model.sample(4000)
    with torch.no_grad():
        if isinstance(model, Dreamer):
            x, _ = model.dream(40_000)
            expected, noise = x.mean(0), x.std(0) / math.sqrt(len(x))
        elif isinstance(model, Density | EnergyModel):
            x = all_points(model)
            log_p = model.log_prob(x) if isinstance(model, Density) else -model.free_energy(x)
            expected, noise = log_p.softmax(0) @ x, torch.zeros(model.visible)
        else:
            pytest.skip("neither exact probabilities nor dreams to compare with")
    se = (samples.var(0) / len(samples) + noise.square()).sqrt()
    z = (samples.mean(0) - expected).abs() / se.clamp_min(1e-7)
    assert z.max() < SIGMA, f"{z.max():.1f} standard errors off"


# --- exact densities ------------------------------------------------------------------------------


@every(Density)
def test_probabilities_sum_to_one(cls, away):
    """Σ_x p(x) = 1, and log p takes gradients to every parameter."""
    model = away(cls)
    points = all_points(model)
    log_p = model.log_prob(points)
    assert log_p.shape == (len(points),)
    cell = (points[1] - points[0]).abs().max() ** model.visible if is_real(model) else 1.0
    assert log_p.double().logsumexp(0).exp().item() * cell == pytest.approx(1.0, abs=1e-5)
    log_p[1].backward()
    assert all(p.grad is not None for p in model.parameters())


# --- dreamers -------------------------------------------------------------------------------------


def scores(model, log_p):
    """Return ∇_θ of each of the log densities [N], for all parameters that they reach: [N, P]."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(
        log_p,
        parameters,
        torch.eye(len(log_p)).to(log_p),
        is_grads_batched=True,
        allow_unused=True,
    )
    return torch.cat([g.flatten(1) for g in found if g is not None], 1)


@pytest.mark.statistical
@every(Dreamer)
def test_log_joint_is_the_density_of_dreams(cls, away):
    """Then its score has mean zero over dreams; a step or a factor forgotten in either shows."""
    model = away(cls)
    torch.manual_seed(3)
    x, h = model.dream(2000)
    latents = [h_l[None] for h_l in h]
    if isinstance(model, HelmholtzMachine) and draws_weights(model, latents, x):
        pytest.skip("the densities are themselves drawn")
    found = [
        scores(model, model.log_joint(x[i], [h_l[:, i] for h_l in latents])[0])
        for i in torch.arange(len(x)).split(250)
    ]
    assert_mean(torch.cat(found), 0.0)


@pytest.mark.statistical
@every(ExactDreamer)
def test_mean_score_given_x_is_the_gradient_of_log_p(cls, away):
    """Fisher's identity: ∇ log p(x, h) − ∇ log p(x) has mean zero over dreams, times any f(x)."""
    model = away(cls)
    torch.manual_seed(3)
    x, h = model.dream(300)
    joint = scores(model, model.log_joint(x, [h_l[None] for h_l in h])[0])
    marginal = torch.cat([scores(model, model.log_prob(part)) for part in x.split(2)])
    for f in (torch.ones(len(x)), x[:, 0], x[:, 0].square()):
        assert_mean((joint - marginal) * f[:, None], 0.0)


@every(ExponentialDreamer)
def test_the_exponential_form_is_the_log_joint(cls, away):
    """Up to a base measure, which depends neither on h nor on θ: to 1e-5."""
    model = away(cls)
    torch.manual_seed(3)
    x, h = model.dream(20)
    table = model.log_joint(x, [h_l[:, None] for h_l in h])  # [h, x]
    form = model.natural(h) @ model.statistics(x).T - model.normaliser(h)[:, None]
    base = (table - form).mean(0)
    torch.testing.assert_close(form + base, table, rtol=1e-5, atol=1e-5)
    for a, b in zip(scores(model, form[:, 0]), scores(model, table[:, 0]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


# --- energy models --------------------------------------------------------------------------------


@every(EnergyModel, but=RealEnergyModel)
def test_free_energy_sums_over_the_hidden_units(cls, away):
    """F(x) = −log Σ_h exp(b·x + c·h + x W h), with the couplings that the model names."""
    model = away(cls).double()
    weight, b, c = model.couplings()
    x = all_points(model).double()
    if len(c) > MOST:
        pytest.skip(f"tiny() has {len(c)} hidden units: too many states to enumerate")
    h = (torch.arange(2 ** len(c))[:, None] >> torch.arange(len(c)) & 1).double()
    energy = -(x @ b)[:, None] - h @ c - x @ weight @ h.T
    torch.testing.assert_close(model.free_energy(x), -(-energy).logsumexp(1))


@every(EnergyModel)
def test_contrast_adds_the_gradient_of_the_free_energies(cls, away, points_for):
    model = away(cls)
    x, negative = points_for(model).values.float().split(14)
    plain = copy.deepcopy(model)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    value = model.contrast(x, negative)
    difference = plain.free_energy(x).mean() - plain.free_energy(negative).mean()
    difference.backward()
    torch.testing.assert_close(value, difference.detach())
    assert not value.requires_grad
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad - 1, q.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.statistical
@every(EnergyModel)
def test_a_gibbs_sweep_leaves_p_as_it_is(cls, away):
    """Started at p(x), enumerated, chains are at p(x) after a sweep; detached, and not stuck."""
    model = away(cls, noise=1.0)  # a sweep remembers where it came from
    x = all_points(model)
    p = (-model.free_energy(x)).softmax(0).detach()
    torch.manual_seed(0)
    start = x[p.multinomial(40_000, replacement=True)]
    moved = model.gibbs(start, 1)
    assert not moved.requires_grad
    assert_mean(features(model, moved), p @ features(model, x))
    assert (moved != start).any(1).float().mean() > 0.05


@every(RealEnergyModel)
def test_couplings_are_refused_by_name(cls):
    with pytest.raises(ValueError, match=f"{cls.__name__} has real observed units"):
        cls.tiny().couplings()


# --- Helmholtz machines ---------------------------------------------------------------------------


@every(HelmholtzMachine)
@pytest.mark.parametrize("k", [1, 7])
def test_inferred_shapes(cls, away, points_for, k):
    model = away(cls)
    x = points_for(model, n=5).values.float()
    h, log_q = model.infer(x, k)
    assert h
    assert all(h_l.ndim == 3 and h_l.shape[:2] == (k, 5) for h_l in h)
    assert log_q.shape == (k, 5)
    assert model.log_joint(x, h).shape == (k, 5)
    assert model.log_q(h, x).shape == (k, 5)
    assert log_q.isfinite().all()
    assert model.log_joint(x, h).isfinite().all()


@every(HelmholtzMachine)
def test_inferred_log_q_is_log_q_of_the_latents(cls, away, points_for):
    model = away(cls)
    x = points_for(model).values.float()
    h, log_q = model.infer(x, 4)
    if draws_weights(model, h, x):
        pytest.skip("log q is itself drawn")
    torch.testing.assert_close(model.log_q(h, x), log_q, atol=1e-4, rtol=1e-5)
    with torch.no_grad():
        again = model.infer(x, 4)
        torch.testing.assert_close(model.log_q(again.h, x), again.log_q, atol=1e-4, rtol=1e-5)


@every(HelmholtzMachine)
def test_points_broadcast_against_samples(cls, away, points_for):
    """x [B, D] is x [K, B, D] repeated."""
    model = away(cls)
    x = points_for(model).values.float()
    h, _ = model.infer(x, 4)
    if draws_weights(model, h, x):
        pytest.skip("log p is itself drawn")
    x_k = x.expand(4, *x.shape)
    torch.testing.assert_close(model.log_joint(x_k, h), model.log_joint(x, h))
    torch.testing.assert_close(model.log_q(h, x_k), model.log_q(h, x))


def reached(loss, parameters):
    """Return which parameters a loss has a gradient to that is not zero."""
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [g is not None and bool((g != 0).any()) for g in grads]


@every(HelmholtzMachine)
def test_samples_do_not_leak_and_densities_reach_their_own_net(cls, away, points_for):
    """Detached h; log p has gradients to θ alone, log q to φ alone, each to every parameter."""
    model = away(cls)
    x = points_for(model).values.float()
    theta, phi = list(model.generative.parameters()), list(model.recognition.parameters())
    shared = {id(p) for p in theta} & {id(p) for p in phi}
    own_theta = [p for p in theta if id(p) not in shared]
    own_phi = [p for p in phi if id(p) not in shared]
    inferred = model.infer(x, 16)
    h = inferred.h
    assert not any(h_l.requires_grad for h_l in h)
    assert all(reached(inferred.log_q.sum(), phi))
    assert all(reached(model.log_q(h, x).sum(), phi))
    assert all(reached(model.log_joint(x, h).sum(), theta))
    assert not any(reached(model.log_joint(x, h).sum(), own_phi))
    assert not any(reached(model.log_q(h, x).sum(), own_theta))
    assert not any(reached(inferred.log_q.sum(), own_theta))


@every(HelmholtzMachine)
def test_pathwise_samples_are_the_same_and_carry_gradients(cls, away, points_for):
    """Same seed, same h; each layer has a gradient to φ, and all together to every parameter."""
    model = away(cls)
    why = refusal(model)
    if why is not None:
        pytest.skip(why)
    x = points_for(model).values.float()
    torch.manual_seed(1)
    plain = model.infer(x, 3)
    torch.manual_seed(1)
    h, log_q = model.infer(x, 3, pathwise=True)
    for detached, pathwise in zip(plain.h, h, strict=True):
        torch.testing.assert_close(detached, pathwise.detach())
        assert pathwise.requires_grad
    torch.testing.assert_close(plain.log_q.detach(), log_q.detach())
    loss = (model.log_joint(x, h) - log_q).sum()
    assert all(reached(loss, list(model.recognition.parameters())))


@every(HelmholtzMachine)
def test_dreams_are_joint_samples_without_gradients(cls, away):
    model = away(cls)
    x, h = model.dream(6)
    assert x.shape == (6, model.visible)
    assert all(h_l.ndim == 2 and len(h_l) == 6 for h_l in h)
    assert not any(value.requires_grad for value in [x, *h])
    inferred, _ = model.infer(x, 2)
    assert [h_l.shape[-1] for h_l in inferred] == [h_l.shape[-1] for h_l in h]
    joint = model.log_joint(x, [h_l[None] for h_l in h])
    assert joint.shape == (1, 6)
    assert joint.isfinite().all()
    torch.manual_seed(1)
    a = model.dream(6)
    torch.manual_seed(1)
    b = model.dream(6)
    assert all(torch.equal(u, v) for u, v in zip([a[0], *a[1]], [b[0], *b[1]], strict=True))


@pytest.mark.statistical
@every(HelmholtzMachine)
def test_dreams_follow_p_and_q_is_normalised(cls, away):
    """E over dreams of f(x) q(h | x) / p(x, h) = Σ_x f(x), as Σ_h q(h | x) = 1.

    f picks each binary point in turn, and a box of real points: then the sum is its volume.
    """
    model = away(cls)
    torch.manual_seed(3)
    with torch.no_grad():
        x, h = model.dream(60_000)
        latents = [h_l[None] for h_l in h]
        if draws_weights(model, latents, x):
            pytest.skip("the densities are themselves drawn")
        ratio = (model.log_q(latents, x) - model.log_joint(x, latents))[0].double().exp()
    if is_real(model):
        inside, volume = (x.abs() < 1).all(1), 2.0**model.visible
        assert 0.05 < inside.float().mean() < 0.95
        assert_mean((inside * ratio)[:, None], torch.tensor([volume]))
    else:
        assert ((x == 0) | (x == 1)).all()
        code = (x @ (2.0 ** torch.arange(model.visible))).long()
        terms = torch.nn.functional.one_hot(code, len(all_points(model))) * ratio[:, None]
        assert_mean(terms, torch.ones(terms.shape[1]))
