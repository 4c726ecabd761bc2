"""Every learning rule of the shelf obeys its protocol on every model that it says it can train."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from hwbench import build, products
from hwbench.protocols import (
    Autoencoder,
    BeliefNetwork,
    BoltzmannStack,
    Classifier,
    ConditionalDreamer,
    Dreamer,
    HelmholtzMachine,
    Model,
    Rule,
    Stack,
)
from tests.laws.declared import Parts, declared, joint_density

RULES = build.shelf("rule")
MODELS = build.shelf("model")
PAIRS = [
    pytest.param(rule, model, id=f"{rule_name}-{model_name}")
    for rule_name, rule in RULES.items()
    for model_name, model in MODELS.items()
    if issubclass(model, rule.trains())
]


def stack_of_pairs(model: Stack, x: Tensor) -> Iterator[Tensor]:
    """Each pair of neighbouring layers has a free energy."""
    for layer in range(1, len(model.layers) + 1):
        yield model.pair(layer).free_energy(model.below(x, layer))


def whole_machine(model: BoltzmannStack, x: Tensor) -> Iterator[Tensor]:
    """The machine has an energy; what stands below it is fixed."""
    machine = model.machine()
    states = [model.units(x), *machine.mean_field(model.units(x), 3)]
    yield machine.energy(states)


def directed_layers_and_top(model: BeliefNetwork, x: Tensor) -> Iterator[Tensor]:
    """Directed layers have densities both ways, and the pair at the top a free energy."""
    h, _ = model.infer(x, 1)
    yield model.log_directed(x, h)
    yield model.log_q(h, x)
    yield model.pair(len(model.layers)).free_energy(h[-1][0])


def reconstructions(model: Autoencoder, x: Tensor) -> Iterator[Tensor]:
    """Each layer gives back the one below."""
    for layer in range(1, len(model.layers) + 1):
        yield model.reconstruct(model.ascend(x, layer - 1), layer)


# What rules of a protocol learn where they do not learn all, as functions that depend on it. Rules
# of any other protocol learn every parameter.
LEARNED: dict[type[Model], Parts] = {
    Stack: stack_of_pairs,
    BoltzmannStack: whole_machine,
    BeliefNetwork: directed_layers_and_top,
    Autoencoder: reconstructions,
    Dreamer: joint_density,
    ConditionalDreamer: joint_density,
}
LEARNS: dict[type[Rule], Parts] = {  # rules that learn less than others of their protocol
    RULES[name]: parts for name, parts in declared("LEARNS").items()
}


def has_gradient(gradient: Tensor | None) -> bool:
    return gradient is not None and bool((gradient != 0).any())


def learned_by(parts: Parts | None, model: Model, x: Tensor) -> set[str]:
    """Return the names of the parameters that these functions depend on; all without functions."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    if parts is None:
        return set(names)
    total = torch.stack([value.sum() for value in parts(model, x)]).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    return {n for n, g in zip(names, gradients, strict=True) if has_gradient(g)}


def set_by_start(model: Model) -> set[str]:
    """Return the names of the parameters that fine-tuning starts from what was learned."""
    if not isinstance(model, Classifier):
        return set()
    started = copy.deepcopy(model)
    started.start()
    pairs = zip(model.named_parameters(), started.parameters(), strict=True)
    return {name for (name, p), q in pairs if not torch.equal(p, q)}


def needs_pathwise(model):
    """Return what a model answers to a rule that wants pathwise samples; None if it has them."""
    if not isinstance(model, HelmholtzMachine):
        return None
    try:
        model.infer(torch.zeros(1, model.visible), 1, pathwise=True)
    except ValueError as error:
        return str(error)
    return None


def tiny_for(rule_class: type[Rule], model) -> Rule:
    """Return a tiny rule, with as many sparsity targets as a machine has layers."""
    rule = rule_class.tiny()
    if isinstance(getattr(rule, "sparsity", None), list):
        layers = len(model.machine().layers)
        rule.sparsity = (rule.sparsity * layers)[:layers]
    return rule


class Trial:
    """A rule, begun on a tiny model, and a batch."""

    def __init__(self, rule_class: type[Rule], model, points) -> None:
        self.model = model
        self.train = points
        self.x = points.batch(torch.arange(len(points)))
        torch.manual_seed(11)
        self.rule = tiny_for(rule_class, model)
        self.rule.begin(model, points)

    def step(self, seed: int = 0, by: str = "backward") -> tuple[Tensor, list]:
        """Return the loss and the gradient of every parameter, of model and rule."""
        self.model.zero_grad()
        self.rule.zero_grad()
        self.rule.advance(0.0)
        torch.manual_seed(seed)
        if by == "backward":
            loss = self.rule.backward(self.model, self.x)
        else:
            loss = self.rule(self.model, self.x)
            loss.backward()
        return loss, [p.grad for p in self.parameters()]

    def layers(self) -> list[int | None]:
        """Return the layers that the rule learns one at a time; [None] if there is no choice."""
        if not hasattr(self.rule, "layer"):
            return [None]
        return list(range(1, len(self.model.layers) + 1))

    def parameters(self) -> list[torch.nn.Parameter]:
        return [*self.model.parameters(), *self.rule.parameters()]


def alike(a, b, exactly=True):
    """Return whether two lists of gradients are the same; no gradient is a gradient of zero."""
    for g, h in zip(a, b, strict=True):
        g, h = (torch.zeros(()) if v is None else v for v in (g, h))
        if not (
            torch.equal(*torch.broadcast_tensors(g, h))
            if exactly
            else torch.allclose(g, h, rtol=1e-4, atol=1e-5)
        ):
            return False
    return True


@pytest.fixture(scope="module")
def begun(request, away, points_for):
    """The rule, begun, after a first look at a step either way; shapes are checked here."""
    rule_class, model_class = request.param
    model = away(model_class)
    try:
        tiny_for(rule_class, model).check(model)
    except ValueError as error:
        if model_class.__name__ not in str(error):
            raise
        pytest.skip(str(error))
    trial = Trial(rule_class, model, points_for(model))
    why = needs_pathwise(model)
    try:
        for by in ("backward", "forward"):
            copy.deepcopy(trial).step(by=by)
    except ValueError as error:
        if why is None or str(error) != why:
            raise
        pytest.skip(why)
    return trial


@pytest.fixture
def trial(begun, unchecked):
    return copy.deepcopy(begun)


pairs = pytest.mark.parametrize(
    "begun", [pytest.param(p.values, id=p.id) for p in PAIRS], indirect=True
)


def test_the_shelf_is_not_empty():
    assert {"bounds.IWAE", "reweighted.ReweightedWakeSleep"} <= set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_there_is_a_model_for_it(name, away, points_for):
    """And for one of them at least, it takes a step."""
    rule = RULES[name]
    assert type(rule.tiny()) is rule
    answers = []
    for model_class in MODELS.values():
        if issubclass(model_class, rule.trains()):
            model = away(model_class)
            try:
                Trial(rule, model, points_for(model)).step()
                return
            except ValueError as error:
                answers.append(str(error))
    pytest.fail(f"no model of the shelf is a {rule.trains().__name__} that it trains: {answers}")


@pairs
def test_a_step_changes_parameters(trial):
    """By a finite loss, returned detached; the batch stays what it was."""
    x, before = trial.x.clone(), [p.detach().clone() for p in trial.model.parameters()]
    loss, grads = trial.step()
    assert loss.shape == ()
    assert loss.isfinite()
    assert not loss.requires_grad
    assert all(g.isfinite().all() for g in grads if g is not None)
    assert torch.equal(x, trial.x)
    assert all(torch.equal(a, b) for a, b in zip(before, trial.model.parameters(), strict=True))
    torch.optim.SGD(trial.parameters(), lr=0.1).step()
    after = list(trial.model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pairs
def test_steps_in_low_precision(trial, monkeypatch):
    """They move the numbers; parameters, gradients and the loss stay in float32."""
    if not trial.rule.rounds:
        pytest.skip("no products to round")
    other = copy.deepcopy(trial)
    trial.rule.precision = "bfloat16"
    try:
        trial.rule.check(trial.model)
    except ValueError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(products, "native", lambda device: False)
    for seed in range(20):  # A few units may all be drawn alike.
        with products.fast(torch.device("cpu"), low=True):
            loss, gradients = trial.step(seed)
        assert loss.dtype == torch.float32
        assert all(g.dtype == torch.float32 for g in gradients if g is not None)
        assert all(g.isfinite().all() for g in gradients if g is not None)
        if not alike(gradients, other.step(seed)[1]):
            return
    if all(p.ndim < 2 for p in trial.model.parameters()):
        pytest.skip("a model without matrices may have no products to round")
    pytest.fail("nothing was rounded")


@pairs
def test_every_parameter_is_reached(trial):
    """Within four steps each parameter of the rule, and each that it learns, gets a gradient.

    Of a model that is trained in stages, these are the parameters that the functions in `LEARNED`
    or `LEARNS` depend on, and no others. A rule with a `layer` learns them one layer at a time.
    """
    names = [name for name, _ in trial.model.named_parameters()]
    names += [f"rule.{name}" for name, _ in trial.rule.named_parameters()]
    reached: set[str] = set()
    for layer in trial.layers():
        if layer is not None:
            trial.rule.layer = layer
        for seed in range(4):
            _, gradients = trial.step(seed)
            reached |= {n for n, g in zip(names, gradients, strict=True) if has_gradient(g)}
    parts = LEARNS.get(type(trial.rule), LEARNED.get(trial.rule.trains()))
    expected = learned_by(parts, trial.model, trial.x)
    assert reached == expected | {name for name in names if name.startswith("rule.")}


@pytest.mark.parametrize("model_class", MODELS.values(), ids=MODELS)
def test_every_parameter_of_a_model_trained_in_stages_is_learned(model_class, away, points_for):
    """By the rules of one protocol or another, or it starts from what they have learned."""
    model = away(model_class)
    protocols = [p for p in {rule.trains() for rule in RULES.values()} if isinstance(model, p)]
    if not protocols or not set(protocols) <= set(LEARNED):
        pytest.skip("not trained in stages alone")
    points = points_for(model)
    x = points.batch(torch.arange(len(points)))
    found = set_by_start(model).union(*(learned_by(LEARNED[p], model, x) for p in protocols))
    assert found == {name for name, _ in model.named_parameters()}


@pairs
def test_backward_is_the_gradient_of_forward(trial):
    """Under the same random seed, with the same value; it is added to what is there."""
    other = copy.deepcopy(trial)
    loss, by_hand = trial.step(seed=7)
    value, automatic = other.step(seed=7, by="forward")
    torch.testing.assert_close(loss, value.detach(), rtol=1e-5, atol=1e-5)
    assert alike(by_hand, automatic, exactly=False)


@pairs
def test_backward_adds_to_the_gradient(trial):
    other = copy.deepcopy(trial)
    _, once = other.step(seed=7)
    trial.rule.advance(0.0)
    for p in trial.parameters():
        p.grad = torch.ones_like(p)
    torch.manual_seed(7)
    trial.rule.backward(trial.model, trial.x)
    assert alike([p.grad - 1 for p in trial.parameters()], once, exactly=False)


@pairs
def test_a_seed_fixes_the_step(trial):
    """Bit for bit, and also after steps that leave their mark in the rule."""
    other = copy.deepcopy(trial)
    for seed in (3, 4, 5):
        loss, grads = trial.step(seed)
        torch.rand(5)  # what is drawn in between does not matter
        again, same = other.step(seed)
        assert torch.equal(loss, again)
        assert alike(grads, same)


@pairs
def test_its_state_is_all_it_remembers(trial):
    """After some steps, saved and loaded into a rule just begun: the same next steps."""
    optimizer = torch.optim.SGD(trial.parameters(), lr=0.01)
    for seed in range(3):
        trial.step(seed)
        optimizer.step()
    state = {k: v.detach().contiguous().clone() for k, v in trial.rule.state_dict().items()}
    other = Trial(type(trial.rule), copy.deepcopy(trial.model), trial.train)
    other.rule.load_state_dict(load(save(state)))
    for seed in (8, 9, 10):
        loss, grads = trial.step(seed)
        again, same = other.step(seed)
        assert torch.equal(loss, again)
        assert alike(grads, same)
