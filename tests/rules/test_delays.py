import pytest
import torch

from hwbench.models.dynamics import BlowflyDynamics
from hwbench.protocols import TrainSplit
from hwbench.rules.delays import RecordedDelays
from hwbench.rules.kernel import AmortisedLearning
from tests.laws.declared import joint_density

LEARNS = {"delays.RecordedDelays": joint_density}
WAITS = {"delays.RecordedDelays": "what its rule around amortised learning waits for"}
INNER = {"use": "kernel.AmortisedLearning", "samples": 60}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return BlowflyDynamics(visible=8, delays=4, births=0.5, deaths=0.5)


def test_the_rule_inside_computes_the_step(model):
    """Loss and gradients are the other rule's, with its random numbers; only `path` is written."""
    x = model.dream(1)[0]
    found = {}
    for name, rule in (
        ("with", RecordedDelays(INNER)),
        ("without", AmortisedLearning(samples=60)),
    ):
        model.zero_grad()
        torch.manual_seed(1)
        rule.begin(model, TrainSplit(x))
        rule.advance(0.5)
        loss = rule.backward(model, x)
        found[name] = [loss, *(p.grad.clone() for p in model.parameters())]
    for own, other in zip(*found.values(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize("steps", [1000, 100, 7])
def test_a_row_is_what_the_probabilities_are_after_its_share_of_the_steps(steps, model):
    """To one step of 100 or more; of fewer steps, several rows have the same probabilities.

    A resumed run has a new rule, and records what an uninterrupted one does.
    """
    rule, x, after = RecordedDelays(INNER), model.dream(1)[0], []
    rule.rule.forward = lambda model, x: model.logits.sum()  # any loss
    for step in range(steps):
        if step == steps // 2:
            rule = RecordedDelays(INNER)
            rule.rule.forward = lambda model, x: model.logits.sum()
        rule.advance(step / steps)
        rule(model, x)
        with torch.no_grad():
            model.logits[1] += 10 / steps
        after.append(model.delays()[1])
    assert model.path.shape == (99, 4)
    start = torch.tensor(0.25)
    for row in range(99):
        done = (row + 1) * steps / 100  # steps
        states = [start, *after]
        near = {float(states[i]) for i in (int(done) - 1, int(done), int(done) + 1) if i >= 0}
        assert float(model.path[row, 1]) in near
    torch.testing.assert_close(model.path.sum(1), torch.ones(99))


def test_a_rule_for_other_models_is_refused(model):
    with pytest.raises(ValueError, match="ELBO needs a HelmholtzMachine; BlowflyDynamics is not"):
        RecordedDelays({"use": "bounds.ELBO"}).check(model)
