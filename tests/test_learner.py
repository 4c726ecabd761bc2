"""Training in blocks: a plain loop, exact resumption, divergence, schedules, early stopping."""

import functools
import math
from functools import partial

import pytest
import torch

from hwbench import learner as learning
from hwbench.evaluators.importance import Bound
from hwbench.learner import Checkpoint, Learner, Progress, fit, optimizer_groups
from hwbench.models.vae import VAE
from hwbench.numerics import generator, stream
from hwbench.optimizers.burda import BurdaAdam
from hwbench.optimizers.ema import EMAMomentum
from hwbench.protocols import (
    Diverged,
    Evaluation,
    Hooks,
    Interrupted,
    Metric,
    Rule,
    TrainSplit,
    ValidationSplit,
)
from hwbench.rules.bounds import IWAE
from hwbench.spec import Stage

CPU = torch.device("cpu")


def grey(n, kind):
    torch.manual_seed(9)
    return kind((torch.rand(n, 12) * 255).to(torch.uint8), None, 255.0, kind is TrainSplit)


def stage(**changes):
    block = {"rule": {"use": "bounds.IWAE"}, "epochs": 4, "batch_size": 10} | changes
    return Stage.model_validate(block)


class Broken(Rule[VAE]):
    """Its loss is NaN from a given step on."""

    def __init__(self, at):
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, model, x):
        self.calls += 1
        factor = math.nan if self.calls >= self.at else 1.0
        return IWAE(2)(model, x) * factor


class Scripted(Bound):
    """Returns a given series of validation values."""

    def __init__(self, values):
        self.values = list(values)

    def __call__(self, model, points, *, seed, progress=lambda fraction: None):
        return Evaluation(metrics={"log_likelihood": Metric(self.values.pop(0))})


def make(
    tmp_path=None,
    seed=0,
    rule=None,
    validator=None,
    hooks=None,
    progress=None,
    every=1e9,
    optimizer=None,
    **changes,
):
    torch.manual_seed(stream(seed, "init"))
    model = VAE(12, latent=2, hidden=[6])
    rule = rule or IWAE(3)
    make_optimizer = optimizer or partial(torch.optim.Adam, fused=True)
    optimizer = make_optimizer(optimizer_groups(model, rule, {"lr": 1e-2}))
    checkpoint = Checkpoint(tmp_path / "state.safetensors" if tmp_path else None, every)
    return Learner(
        model,
        rule,
        optimizer,
        stage(**changes),
        grey(205, TrainSplit),
        grey(20, ValidationSplit),
        validator,
        seed,
        progress or Progress(),
        checkpoint,
        hooks or Hooks(),
    )


def parameters(learner):
    return torch.cat([p.detach().view(-1) for p in learner.model.parameters()])


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(learning, "BLOCK", 7)


def test_blocks_equal_a_plain_loop():
    """Lightning in blocks against ten lines of torch with the same streams, bit for bit."""
    trained = make()
    fit(trained, CPU)
    plain = make()
    optimizer, train = plain.optimizer_, plain.train_split
    for epoch in range(4):
        order = torch.randperm(len(train), generator=generator(0, "order", 0, epoch))
        for start in range(0, 20, 7):
            first = epoch * 20 + start
            steps = min(7, 20 - start)
            index = order[start * 10 : (start + steps) * 10].view(steps, 10)
            x = train.batch(index, generator(0, "pixels", 0, first))
            torch.manual_seed(stream(0, "noise", 0, first))
            for batch in x:
                optimizer.zero_grad()
                plain.rule(plain.model, batch).backward()
                optimizer.step()
    assert torch.equal(parameters(trained), parameters(plain))


def test_blocks_cover_every_step_once_and_never_cross_an_epoch():
    blocks = list(make().blocks())
    assert sum(b.steps for b in blocks) == 80
    assert [b.first for b in blocks] == [
        sum(b.steps for b in blocks[:i]) for i in range(len(blocks))
    ]
    assert all((b.first % 20) + b.steps <= 20 for b in blocks)
    assert sum(b.steps for b in make(epochs=None, steps=33).blocks()) == 33


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("stop_after", [1, 2, 5, 11])
def test_a_stopped_run_resumes_to_the_same_parameters(tmp_path, stop_after):
    """Stopped at any block, resumed from the file: parameters, curves, counters bit for bit."""
    whole = make(validator=Bound(3))
    fit(whole, CPU)
    calls = []
    stopped = make(
        tmp_path,
        validator=Bound(3),
        hooks=Hooks(report=calls.append, stop=lambda: len(calls) >= stop_after),
    )
    with pytest.raises(Interrupted):
        fit(stopped, CPU)
    assert len(calls) == stop_after
    progress, parts, scalars = Checkpoint(tmp_path / "state.safetensors").load()
    resumed = make(tmp_path, seed=0, validator=Bound(3), progress=progress)
    with torch.no_grad():
        for p in resumed.model.parameters():
            p.zero_()  # nothing may come from anywhere but the file
    resumed.restore(parts, scalars)
    fit(resumed, CPU)
    assert torch.equal(parameters(resumed), parameters(whole))
    assert resumed.progress.curves == whole.progress.curves
    assert resumed.progress.steps_total == whole.progress.steps_total == 80


OPTIMIZERS = {
    "Adam": torch.optim.Adam,
    "SGD with momentum": partial(torch.optim.SGD, momentum=0.9),
    "Adam of Burda et al.": partial(BurdaAdam, gradient_scale=20.0),
    "EMA momentum": partial(EMAMomentum, momentum=0.95),
}


SCRIPTED = [-9.0, -2.0, -6.0, -7.0]
BEST = {"validate": {"use": "x"}, "stop": {"patience": 9, "keep": "best"}}


@functools.cache
def undisturbed(optimizer):
    """Return the parameters that a whole run keeps, checked to be those after two epochs."""
    whole = make(validator=Scripted(SCRIPTED), optimizer=optimizer, **BEST)
    fit(whole, CPU)
    at_best = make(epochs=2, optimizer=optimizer)
    fit(at_best, CPU)
    assert torch.equal(parameters(whole), parameters(at_best))
    return parameters(whole)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("stop_after", [4, 8, 12])
def test_every_optimizer_and_the_best_model_resume(tmp_path, optimizer, stop_after):
    """The state of the optimizer and the best parameters so far come back from the file.

    The best epoch is the second, before or after the stop; the last case stops at the very end.
    """
    calls = []
    hooks = Hooks(report=calls.append, stop=lambda: len(calls) >= stop_after)
    stopped = make(tmp_path, validator=Scripted(SCRIPTED), optimizer=optimizer, hooks=hooks, **BEST)
    with pytest.raises(Interrupted):
        fit(stopped, CPU)
    progress, parts, scalars = Checkpoint(tmp_path / "state.safetensors").load()
    validated = len(progress.curves.get("validation/log_likelihood", []))
    resumed = make(
        validator=Scripted(SCRIPTED[validated:]), optimizer=optimizer, progress=progress, **BEST
    )
    with torch.no_grad():
        for p in resumed.model.parameters():
            p.zero_()
    resumed.restore(parts, scalars)
    fit(resumed, CPU)
    assert torch.equal(parameters(resumed), undisturbed(optimizer))


def test_a_damaged_checkpoint_is_not_used(tmp_path):
    path = tmp_path / "state.safetensors"
    learner = make(tmp_path)
    learner.save()
    assert Checkpoint(path).load() is not None
    path.write_bytes(path.read_bytes()[:-100])
    assert Checkpoint(path).load() is None
    path.write_bytes(b"")
    assert Checkpoint(path).load() is None


def test_seed_fixes_the_run_and_another_seed_differs():
    runs = []
    for seed in (0, 0, 1):
        learner = make(seed=seed)
        fit(learner, CPU)
        runs.append(parameters(learner))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_methods_see_the_same_order_and_pixels():
    """Order and pixels have streams of their own: a rule that draws more noise shifts neither."""
    seen = {}
    for name, rule in [("a", IWAE(2)), ("b", IWAE(9))]:
        batches = []

        class Spy(type(rule)):
            def forward(self, model, x, batches=batches):
                batches.append(x.clone())
                return super().forward(model, x)

        fit(make(rule=Spy(rule.k), epochs=2), CPU)
        seen[name] = torch.stack(batches)
    assert torch.equal(seen["a"], seen["b"])
    assert len(seen["a"]) == 40
    assert not torch.equal(seen["a"][:20], seen["a"][20:])


def test_divergence_names_the_step():
    with pytest.raises(Diverged, match="nan at step 16 of stage 1"):
        fit(make(rule=Broken(at=16)), CPU)


class Exploding(Rule[VAE]):
    """Its loss grows a thousandfold at each step, and stays finite."""

    def forward(self, model, x):
        self.scale = getattr(self, "scale", 1e-3) * 1e3
        return IWAE(2)(model, x) * self.scale


def test_a_loss_beyond_all_bounds_is_divergence():
    """12 fair coins are 8.3 nats; at a thousand times that for 10 points, a loss is no loss."""
    with pytest.raises(Diverged, match=r"at step \d of stage 1; beyond ±8\.3e\+04"):
        fit(make(rule=Exploding()), CPU)


def test_stopping_early_needs_validation_points():
    learner = make(validator=Bound(3))
    stop = stage(validate={"use": "x"}, stop={"patience": 1})
    with pytest.raises(ValueError, match="no validation points to stop by"):
        Learner(
            learner.model,
            learner.rule,
            learner.optimizer_,
            stop,
            learner.train_split,
            None,
            Bound(3),
            0,
            Progress(),
            Checkpoint(None),
            Hooks(),
        )


class Errors(Scripted):
    """A validation number of which less is better."""

    better = "lower"


def test_early_stopping_knows_the_direction():
    values = [0.3, 0.1, 0.2, 0.4, 0.05]
    block = {"validate": {"use": "x"}, "stop": {"patience": 2, "keep": "best"}, "epochs": 5}
    learner = make(validator=Errors(values), **block)
    fit(learner, CPU)
    assert learner.progress.best_epoch == 1
    assert len(learner.progress.curves["validation/log_likelihood"]) == 4


def test_validation_that_is_not_a_number_is_divergence():
    with pytest.raises(Diverged, match="validation log_likelihood became nan after epoch 2"):
        fit(make(validator=Scripted([-3.0, math.nan])), CPU)


def test_early_stopping_waits_and_keeps_the_best():
    values = [-9.0, -5.0, -6.0, -7.0, -8.0, -1.0]
    block = {"validate": {"use": "x"}, "stop": {"patience": 2, "keep": "best"}, "epochs": 6}
    learner = make(validator=Scripted(values), **block)
    fit(learner, CPU)
    assert [y for _, y in learner.progress.curves["validation/log_likelihood"]] == values[:4]
    at_best = make(epochs=2)
    fit(at_best, CPU)
    assert torch.equal(parameters(learner), parameters(at_best))


def test_early_stopping_not_before_its_least_epochs():
    block = {"validate": {"use": "x"}, "stop": {"patience": 1, "at_least": 4}, "epochs": 6}
    learner = make(validator=Scripted([-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]), **block)
    fit(learner, CPU)
    assert len(learner.progress.curves["validation/log_likelihood"]) == 4


def test_patience_is_counted_in_epochs_however_rarely_they_are_validated():
    """Of validations every 2nd epoch the second is best; 4 epochs later two were no better."""
    block = {"validate": {"use": "x"}, "validate_every": 2, "stop": {"patience": 4}, "epochs": 12}
    learner = make(validator=Scripted([-9.0, -5.0, -6.0, -7.0, -8.0, -8.0]), **block)
    fit(learner, CPU)
    curve = learner.progress.curves["validation/log_likelihood"]
    assert [tuple(point) for point in curve] == [(2, -9.0), (4, -5.0), (6, -6.0), (8, -7.0)]


def test_schedule_sets_rates_by_epoch_and_anneals():
    learner = make(schedule={"lr": {"0": 0.1, "2": 0.01}, "anneal": 0.5})
    rates = {}
    for epoch, first in [(0, 0), (1, 20), (2, 40), (3, 79)]:
        learner.set_rates(epoch, first)
        rates[epoch] = learner.optimizer_.param_groups[0]["lr"]
    assert rates == pytest.approx(
        {0: 0.1, 1: 0.1 * 0.875, 2: 0.01 * 0.75, 3: 0.01 * (1 - 0.5 * 79 / 80)}
    )


class Noting(torch.optim.SGD):
    """SGD that notes rate and momentum of each group at each step."""

    def __init__(self, groups):
        super().__init__(groups, momentum=0.5)
        self.taken = []

    def step(self, closure=None):
        self.taken.append([(g["lr"], g["momentum"]) for g in self.param_groups])
        return super().step(closure)


def test_schedule_sets_the_momentum_of_every_group_from_the_stated_epochs_on():
    """20 steps an epoch; before the first entry the optimizer's own holds; rates stay."""
    learner = make(schedule={"momentum": {"1": 0.7, "3": 0.9}}, optimizer=Noting)
    groups = len(learner.optimizer_.param_groups)
    assert groups == 2  # generative and recognition
    fit(learner, CPU)
    momenta = [0.5] * 20 + [0.7] * 40 + [0.9] * 20
    assert learner.optimizer_.taken == [[(1e-2, m)] * groups for m in momenta]


def test_momentum_and_rate_follow_their_schedules_side_by_side():
    """As for the RBMs: momentum in a step, the rate annealed to zero."""
    schedule = {"momentum": {"0": 0.5, "2": 0.9}, "anneal": 0.0}
    learner = make(schedule=schedule, optimizer=Noting)
    seen = []
    for epoch, first in [(0, 0), (1, 39), (2, 40), (3, 79)]:
        learner.set_rates(epoch, first)
        seen.append([(g["lr"], g["momentum"]) for g in learner.optimizer_.param_groups])
    expected = [(1e-2, 0.5), (1e-2 * 41 / 80, 0.5), (1e-2 * 0.5, 0.9), (1e-2 / 80, 0.9)]
    for groups, pair in zip(seen, expected, strict=True):
        assert all(g == pytest.approx(pair) for g in groups)


def test_groups_have_their_own_rates():
    model = VAE(4, latent=1, hidden=[3])
    groups = optimizer_groups(model, IWAE(1), {"lr": 0.1, "lr_recognition": 0.02})
    assert {g["name"]: g["lr"] for g in groups} == {"generative": 0.1, "recognition": 0.02}
    for group in groups:
        mine = getattr(model, group["name"]).parameters()
        assert list(map(id, group["params"])) == list(map(id, mine))
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))


def test_gradient_clipping_bounds_the_step():
    learner = make(clip_gradient=1e-9, epochs=1)
    learner.optimizer_ = torch.optim.SGD(learner.model.parameters(), lr=1.0)
    before = parameters(learner)
    learner.run_steps(torch.ones(1, 10, 12))
    assert 0 < (parameters(learner) - before).norm() < 2e-9
