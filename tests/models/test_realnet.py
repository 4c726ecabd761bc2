"""Stacks on a Gaussian RBM against their parts: the RBM, the binary stack above, and the net."""

import copy

import pytest
import torch

from hwbench.datasets.digits import RealDigits
from hwbench.models.finetuned import FineTunedDBM, FineTunedDBN
from hwbench.models.realnet import RealFineTunedDBM, RealFineTunedDBN
from hwbench.protocols import PartlyLabelledSplit, TrainSplit
from hwbench.rules.boltzmann import MeanFieldPCD
from hwbench.rules.pretraining import GreedyCD
from hwbench.rules.supervised import Backpropagation

KINDS = [RealFineTunedDBM, RealFineTunedDBN]
kinds = pytest.mark.parametrize("kind", KINDS)


def ignore(fraction, note):
    pass


def make(kind, layers=(4, 3, 2), visible=5, scale=0.8):
    torch.manual_seed(0)
    model = kind(visible=visible, classes=3, layers=list(layers)).double()
    with torch.no_grad():
        for p in [*model.gaussian.parameters(), *model.upper.parameters()]:
            p.normal_(0, scale)
    return model


def points(n=6, visible=5):
    torch.manual_seed(1)
    return torch.randn(n, visible).double()


def hidden_layers(model, x):
    """Return what the hidden layers of the net are at points x."""
    reached = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: reached.append(out.sigmoid()))
        for layer in model.net.layers
    ]
    model.logits(x)
    for hook in hooks:
        hook.remove()
    return reached


@kinds
def test_layers_are_the_gaussian_rbm_and_those_above_it(kind):
    model = make(kind)
    x, w = points(), model.gaussian.weight
    assert model.pair(1) is model.gaussian
    for layer in (2, 3):
        own, above = model.pair(layer).couplings(), model.upper.pair(layer - 1).couplings()
        assert own.weight is above.weight
    h = (x @ w + model.gaussian.hidden_bias).sigmoid().detach()
    assert torch.equal(model.ascend(x, 0), x)
    torch.testing.assert_close(model.ascend(x, 1), h)
    torch.testing.assert_close(model.ascend(x, 3), model.upper.ascend(h, 2))
    for layer in (0, 4):
        with pytest.raises(ValueError, match=f"{kind.__name__}.pair: expected a layer from 1 to 3"):
            model.pair(layer)


@pytest.mark.statistical
@kinds
def test_the_layers_above_see_binary_draws_of_the_activities(kind):
    """x itself below the RBM; above it bits with the means of h_1, and then those of h_2."""
    model, x = make(kind), points(n=1)
    assert model.below(x, 1) is x
    n = 40_000
    torch.manual_seed(2)
    h = model.below(x.expand(n, -1), 2)
    assert ((h == 0) | (h == 1)).all()
    q = model.ascend(x, 1)[0]
    assert ((h.mean(0) - q).abs() < 5 * (q * (1 - q) / n).sqrt()).all()
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 4)
    weight = torch.where(states == 1, q, 1 - q).prod(1)
    expected = weight @ model.upper.ascend(states, 1)
    found = model.below(x.expand(n, -1), 3).mean(0)
    assert ((found - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt()).all()


def test_joint_training_is_that_of_the_machine_on_drawn_activities(monkeypatch):
    """The same gradient and chains as the bare machine's, and none for the Gaussian RBM."""
    model, x = make(RealFineTunedDBM), points(n=50)
    bare = copy.deepcopy(model.upper)
    monkeypatch.setattr(bare, "units", lambda _: model.units(x))
    grads, chains = [], []
    for machine in (model, bare):
        rule = MeanFieldPCD.tiny()
        torch.manual_seed(3)
        rule.begin(model, TrainSplit(x.float()))
        rule.double()
        rule.backward(machine, x)
        grads.append([p.grad for p in machine.machine().parameters()])
        chains.append(rule.chains)
    assert torch.equal(*chains)
    assert any(g is not None for g in grads[0])
    for a, b in zip(*grads, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)
    assert all(p.grad is None for p in model.gaussian.parameters())


def test_the_machine_is_given_binary_draws_of_the_activities():
    model, x = make(RealFineTunedDBM), points(n=1)
    torch.manual_seed(2)
    h, n = model.units(x.expand(10_000, -1)), 10_000
    assert ((h == 0) | (h == 1)).all()
    q = (x @ model.gaussian.weight + model.gaussian.hidden_bias).sigmoid().detach()[0]
    assert ((h.mean(0) - q).abs() < 5 * (q * (1 - q) / n).sqrt()).all()


def test_chains_begin_without_looking_at_parameters():
    """A resumed run begins before it has them back."""
    starts = []
    for scale in (0.1, 2.0):
        model, rule = make(RealFineTunedDBM, scale=scale), MeanFieldPCD(chains=30)
        torch.manual_seed(3)
        rule.begin(model, TrainSplit(points().float()))
        starts.append(rule.chains)
    assert torch.equal(*starts)
    assert starts[0].shape == (30, 4 + 2)
    assert set(starts[0][:, :4].unique().tolist()) == {0.0, 1.0}


def test_sparsity_targets_are_for_the_machine():
    with pytest.raises(ValueError, match="each of the 2 hidden layers"):
        MeanFieldPCD(sparsity=[0.1, 0.1, 0.1]).check(make(RealFineTunedDBM))


def test_the_net_begins_as_a_sweep_of_mean_field_on_the_activities():
    model, x = make(RealFineTunedDBM), points()
    model.upper.iterations = 2000
    model.start()
    means = model.upper.mean_field(model.activities(x), 2000, 1e-10)
    for h, mean in zip(hidden_layers(model, x), means, strict=True):
        torch.testing.assert_close(h, mean, atol=1e-5, rtol=0)
    assert model.net is model.upper.net
    assert model.logits(x).shape == (6, 3)


def test_the_net_of_a_belief_network_begins_as_its_way_up():
    model, x = make(RealFineTunedDBN), points()
    model.start()
    for layer, h in enumerate(hidden_layers(model, x), 1):
        torch.testing.assert_close(h, model.ascend(x, layer))


@kinds
def test_fine_tuning_moves_the_net_alone(kind):
    model = make(kind, scale=0.5).float()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x = points(60).float()
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    fit = Backpropagation(epochs=150, lr=0.3, batch_size=10)
    fit(model, TrainSplit(x, y), None, 0, ignore)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {k for k in before if "net." in k}
    assert (model.logits(x).argmax(1) == y).float().mean() > 0.7


def test_unlabelled_points_train_layers_and_labelled_ones_the_net():
    """Fine-tuning on a set whose images move is that on the images at rest."""
    outcomes = []
    for translations in (False, True):
        splits = RealDigits(translations=translations).load(0)
        torch.manual_seed(0)
        model = RealFineTunedDBN(visible=64, classes=10, layers=[8, 6])
        model.adapt(splits.train)
        Backpropagation(epochs=1)(model, splits.train, splits.validation, 0, ignore)
        outcomes.append(model.state_dict())
    for name, value in outcomes[0].items():
        torch.testing.assert_close(value, outcomes[1][name], msg=name)


@pytest.mark.statistical
def test_greedy_layers_learn_what_they_should():
    """The first rule lifts the exact density of real points, the others the pairs above."""
    torch.manual_seed(0)
    x = torch.randn(2000, 2) * 0.5 + torch.tensor([[2.0, -2.0], [-2.0, 2.0]]).repeat(1000, 1)
    train = TrainSplit(x, torch.zeros(2000).long())
    model = RealFineTunedDBN(visible=2, classes=2, layers=[4, 3], init=0.1)
    model.adapt(train)

    def density():
        own = model.gaussian
        return (-own.free_energy(x).mean() - own.log_partition()).item()

    start = density()
    for layer in (1, 2):
        rule, optimizer = GreedyCD(layer=layer), torch.optim.SGD(model.parameters(), lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            rule.backward(model, x[torch.randint(2000, (100,))])
            optimizer.step()
        if layer == 1:
            after = density()
            assert after > start + 1
    assert density() == after


def test_bad_input():
    with pytest.raises(ValueError, match=r"RealFineTunedDBM: needs 3 or more .*\[4, 3\]"):
        RealFineTunedDBM(visible=2, classes=2, layers=[4, 3])
    with pytest.raises(ValueError, match=r"RealFineTunedDBN: needs 2 or more hidden layers.*\[4\]"):
        RealFineTunedDBN(visible=2, classes=2, layers=[4])
    with pytest.raises(ValueError, match="RealFineTunedDBN: the data set has no labels"):
        RealFineTunedDBN(visible=2, classes=0, layers=[4, 3])


@kinds
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "needs labels; this TrainSplit has none"),
        (torch.tensor([0]), "1 labels for the 2 points"),
        (torch.tensor([0, 3]), "from 0 to 2; the TrainSplit has 0 to 3"),
    ],
)
def test_labels_are_seen_to_before_pretraining(kind, labels, message):
    """Also those that stand beside unlabelled points."""
    model, labelled = make(kind), TrainSplit(torch.zeros(2, 5), labels)
    for split in (labelled, PartlyLabelledSplit(torch.zeros(9, 5), labelled=labelled)):
        with pytest.raises(ValueError, match=message):
            model.adapt(split)


@pytest.mark.parametrize("kind", [FineTunedDBM, FineTunedDBN])
def test_binary_units_refuse_real_points(kind):
    train = RealDigits().load(0).train
    wanted = rf"{kind.__name__}: its visible units are binary, .* found -.* put a Gaussian layer"
    with pytest.raises(ValueError, match=wanted):
        kind(visible=64, classes=10, layers=[4, 3]).adapt(train)
