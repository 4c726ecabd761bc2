"""On a device that is not the CPU: nothing mixes devices, and no step makes the host wait.

The device is a pretence: torch's Python backend for PrivateUse1, with fake tensors that have shape,
type and device, and no values. Tensors on two devices raise, and so does whatever needs a value
(`nonzero`, `item`, `if tensor`), for which a GPU would make the host wait. What cannot be seen
here: fused optimizers and random generators of the device, kernels, and speed.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils import backend_registration

from hwbench import build
from hwbench.evaluators.importance import log_weights
from hwbench.learner import Checkpoint, Learner, Progress, optimizer_groups
from hwbench.protocols import Density, HelmholtzMachine, Hooks
from hwbench.spec import Stage
from tests.laws.declared import declared

RULES, MODELS = build.shelf("rule"), build.shelf("model")
PAIRS = [
    pytest.param(rule, model, id=f"{rule}-{model}")
    for rule in RULES
    for model in MODELS
    if issubclass(MODELS[model], RULES[rule].trains())
]
WAITS = declared("WAITS")  # rules whose steps need a decision of the host, with what decides


@pytest.fixture(scope="module")
def device():
    """A device of no hardware, which torch knows for the rest of this process."""

    class Module(backend_registration._DummyBackendModule):
        """What torch asks a device's module for when it seeds all devices."""

        def _is_in_bad_fork(self):
            return False

        def manual_seed_all(self, seed):
            pass

    backend_registration._setup_privateuseone_for_python_backend("pretend", Module())
    return torch.device("pretend", 0)


MODE = FakeTensorMode()  # one for all, since modules of the shelves keep tensors of their own


class Mover:
    """Puts tensors on the device as fakes; `nn.Module.to` fails with them."""

    def __init__(self, device):
        self.device, self.mode = device, MODE
        self.made = {}  # by identity, with the original, which must not be freed meanwhile

    def __call__(self, value):
        """Return a value with its tensors moved; modules, lists and dicts are changed in place."""
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, nn.Module) and id(value) not in self.made:
            self.made[id(value)] = value, value
            for name, inner in vars(value).items():
                vars(value)[name] = self(inner)
        elif isinstance(value, dict):
            for key in value:
                value[key] = self(value[key])
        elif isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self, value))
        elif isinstance(value, list | tuple):
            return type(value)(map(self, value))
        return value

    def _tensor(self, value):
        if id(value) not in self.made:
            with torch.no_grad():
                fake = self.mode.from_tensor(value.detach())
                with self.mode:
                    fake = fake.to(self.device)
            if isinstance(value, nn.Parameter):
                fake = nn.Parameter(fake, requires_grad=value.requires_grad)
            self.made[id(value)] = fake, value
        return self.made[id(value)][0]


@pytest.fixture
def transfers(monkeypatch):
    """The transfers to the host by `tolist`, which gets zeros."""
    found = []

    def tolist(self):
        found.append(tuple(self.shape))
        return np.zeros(self.shape).tolist()

    monkeypatch.setattr(FakeTensor, "tolist", tolist)
    return found


def learner_of(model, rule, optimizer, points, steps, mover):
    """Return the learner of a stage, with everything on the device."""
    stage = {
        "rule": {"use": "any"},
        "optimizer": {"use": "SGD", "lr": 0.1},
        "batch_size": len(points),
        "steps": steps,
        "clip_gradient": 1.0,
    }
    return Learner(
        mover(model),
        mover(rule),
        optimizer(optimizer_groups(model, rule, {"lr": 0.1})),
        Stage.model_validate(stage),
        points,
        None,
        None,
        0,
        Progress(),
        Checkpoint(None),
        Hooks(),
    )


def sgd(groups):
    return torch.optim.SGD(groups, lr=0.1)


def take_block(rule_name, model_name, optimizer, away, points_for, device, steps=1):
    """Take the steps of one block on the device."""
    model = away(MODELS[model_name])
    points, rule = points_for(model), RULES[rule_name].tiny()
    given = points.batch(torch.arange(len(points)))
    try:
        rule.check(model)
        rule.begin(model, points)
        copy.deepcopy(rule).backward(copy.deepcopy(model), given)
    except ValueError as error:  # As in the laws of rules: the pair does not go together.
        pytest.skip(str(error))
    rule.advance(0.0)
    mover = Mover(device)
    learner = learner_of(model, rule, optimizer, points, steps, mover)
    x = mover(given.expand(steps, -1, -1).clone())
    with mover.mode:
        learner.run_steps(x)


@pytest.mark.parametrize(("rule", "model"), PAIRS)
def test_a_block_of_steps_stays_on_its_device(rule, model, away, points_for, device, transfers):
    """And the host hears of it once, at its end."""
    if rule in WAITS:
        with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
            take_block(rule, model, sgd, away, points_for, device)
        return
    take_block(rule, model, sgd, away, points_for, device)
    assert transfers == [(1,)]


OPTIMIZERS = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW, **build.shelf("optimizer")}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_stay_on_the_device(name, away, points_for, device, transfers):
    optimizer = OPTIMIZERS[name]
    made = [away, points_for, device]
    take_block("bounds.IWAE", "vae.VAE", lambda g: optimizer(g, lr=0.1), *made, steps=2)
    assert transfers == [(2,)]


SCORED = [name for name, model in MODELS.items() if issubclass(model, HelmholtzMachine | Density)]


@pytest.mark.parametrize("model", SCORED)
def test_what_evaluators_ask_of_a_model_stays_on_the_device(model, away, points_for, device):
    """The weights of samples, or log p(x): the inner part of an evaluation by either."""
    net = away(MODELS[model]).eval()
    mover = Mover(device)
    x = mover(points_for(net, n=4).values.float())
    mover(net)
    with mover.mode, torch.inference_mode():
        found = net.log_prob(x) if isinstance(net, Density) else log_weights(net, x, 8, rows=8)
    assert found.device == device
