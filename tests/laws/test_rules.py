"""Every learning rule of the shelf obeys its protocol on every model that it says it can train."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load, save

from hwbench import build
from hwbench.protocols import Dreamer, HelmholtzMachine, Rule

RULES = build.shelf("rule")
MODELS = build.shelf("model")
PAIRS = [
    pytest.param(rule, model, id=f"{rule_name}-{model_name}")
    for rule_name, rule in RULES.items()
    for model_name, model in MODELS.items()
    if issubclass(model, rule.trains())
]
NET = tuple(
    f"net.{part}.{p}" for part in ("layers.0", "layers.1", "top") for p in ("weight", "bias")
)
UPPER = ("weights.1", "upward.1", "downward.1")
UPPER_NET = tuple(f"upper.{name}" for name in NET)
REAL_NET = (*NET, "net.layers.2.weight", "net.layers.2.bias")
REAL_DBM = tuple(f"upper.{p}.{i}" for p in ("weights", "biases") for i in (0, 1))
REAL_DBN = tuple(f"upper.{p}.{i}" for p in ("weights", "upward", "downward") for i in (0, 1))
GAUSSIAN = tuple(f"gaussian.{p}" for p in ("weight", "visible_bias", "hidden_bias"))
# (rule, model): parameters that its gradient does not reach, and why that is right
OUT_OF_REACH: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {
    ("autoassociation.GreedyReconstruction", "autoencoder.FineTunedAutoencoder"): (
        ("downward.1", *NET[2:]),
        "tiny() learns the first layer, and no softmax",
    ),
    ("boltzmann.MeanFieldPCD", "dbm.DBM"): (("downward.0",), "it moves one of two added biases"),
    ("boltzmann.MeanFieldPCD", "finetuned.FineTunedDBM"): (("downward.0", *NET), "and no net"),
    ("pretraining.GreedyCD", "finetuned.FineTunedDBM"): (
        ("weights.1", "biases.2", "downward.0", *NET),
        "tiny() learns the first layer",
    ),
    ("pretraining.GreedyCD", "dbn.DBN"): (UPPER, "tiny() learns the first layer"),
    ("pretraining.GreedyCD", "dbn.UntiedDBN"): (
        (*UPPER, "down_offsets.0", "up_offsets.0"),
        "nor does it untie",
    ),
    ("pretraining.GreedyCD", "finetuned.FineTunedDBN"): ((*UPPER, *NET), "and no net"),
    ("updown.UpDown", "dbn.UntiedDBN"): (("weights.0",), "offsets stand beside it"),
    ("updown.UpDown", "finetuned.FineTunedDBN"): (NET, "and no net"),
    ("boltzmann.MeanFieldPCD", "realnet.RealFineTunedDBM"): (
        ("upper.downward.0", *UPPER_NET, *GAUSSIAN),
        "nor the RBM below the machine",
    ),
    ("pretraining.GreedyCD", "realnet.RealFineTunedDBM"): (
        (*REAL_DBM, "upper.biases.2", "upper.downward.0", *UPPER_NET),
        "tiny() learns the first layer",
    ),
    ("pretraining.GreedyCD", "realnet.RealFineTunedDBN"): (
        (*REAL_DBN, *REAL_NET),
        "tiny() learns the first layer",
    ),
    ("pretraining.GreedyCD", "dbm.DBM"): (
        ("weights.1", "biases.2", "downward.0"),
        "tiny() learns the first layer",
    ),
}


def out_of_reach(pair, rule, model):
    """Return names of the parameters that the rule's gradient does not reach on the model."""
    if type(rule).trains() is Dreamer and isinstance(model, HelmholtzMachine):
        return {
            f"recognition.{name}" for name, _ in model.recognition.named_parameters()
        }  # dreams alone train p
    return set(OUT_OF_REACH.get(pair, ((), ""))[0])


def needs_pathwise(model):
    """Return what a model answers to a rule that wants pathwise samples; None if it has them."""
    if not isinstance(model, HelmholtzMachine):
        return None
    try:
        model.infer(torch.zeros(1, model.visible), 1, pathwise=True)
    except ValueError as error:
        return str(error)
    return None


class Trial:
    """A rule, begun on a tiny model, and a batch."""

    def __init__(self, rule_class: type[Rule], model, points) -> None:
        self.model = model
        self.train = points
        self.x = points.values.float()
        torch.manual_seed(11)
        self.rule = rule_class.tiny()
        self.rule.begin(model, points)

    def step(self, seed: int = 0, by: str = "backward") -> tuple[torch.Tensor, list]:
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

    def parameters(self) -> list[torch.nn.Parameter]:
        return [*self.model.parameters(), *self.rule.parameters()]


def alike(a, b, exactly=True):
    """Say whether two lists of gradients are the same; no gradient is a gradient of zero."""
    for g, h in zip(a, b, strict=True):
        g, h = (torch.zeros(()) if v is None else v for v in (g, h))
        if not (
            torch.equal(*torch.broadcast_tensors(g, h))
            if exactly
            else torch.allclose(g, h, rtol=1e-4, atol=1e-5)
        ):
            return False
    return True


@pytest.fixture
def trial(request, away, points_for):
    rule_class, model_class = request.param
    model = away(model_class)
    try:
        rule_class.tiny().check(model)
    except ValueError as error:
        if model_class.__name__ not in str(error):
            raise
        pytest.skip(str(error))
    trial = Trial(rule_class, model, points_for(model))
    why = needs_pathwise(model)
    try:
        copy.deepcopy(trial).step()
    except ValueError as error:
        if why is None or str(error) != why:
            raise
        pytest.skip(why)
    return trial


pairs = pytest.mark.parametrize(
    "trial", [pytest.param(p.values, id=p.id) for p in PAIRS], indirect=True
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
def test_every_parameter_is_reached(trial, request):
    """Within four steps each parameter of model and rule gets a gradient that is not zero."""
    names = [name for part in (trial.model, trial.rule) for name, _ in part.named_parameters()]
    reached = [False] * len(names)
    for seed in range(4):
        _, grads = trial.step(seed)
        now = [g is not None and bool((g != 0).any()) for g in grads]
        reached = [a or b for a, b in zip(reached, now, strict=True)]
    missed = {name for name, was in zip(names, reached, strict=True) if not was}
    pair = tuple(request.node.callspec.id.split("-", 1))
    assert missed == out_of_reach(pair, trial.rule, trial.model)


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
