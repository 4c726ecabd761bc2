import hashlib
import math

import numpy as np
import pytest
import torch

from hwbench.evaluators import samples
from hwbench.evaluators.lenet import frechet_distance, weights_file
from hwbench.evaluators.points import evaluating
from hwbench.evaluators.samples import GibbsSamples, means_along, nearest
from hwbench.models.dbm import DBM
from hwbench.models.realnet import RealFineTunedDBM
from hwbench.numerics import stream
from hwbench.protocols import TestSplit, TrainSplit

SIGMA = 5.0  # standard errors allowed
BARS = {"use": "synthetic.Bars", "side": 2}


def states(sizes, all_binary):
    return all_binary(sum(sizes)).split(sizes, dim=1)


def assert_mean(found, expected):
    se = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - expected).abs() / se).max() < SIGMA


def test_chains_are_at_the_machine_in_the_end(random_dbm, all_binary):
    """Means of p(x | h) over chains are E[x], enumerated; each kept sweep comes out."""
    machine = random_dbm(1, visible=3, layers=(3, 2), scale=0.7)
    layers = list(states([3, 3, 2], all_binary))
    expected = (-machine.energy(layers)).softmax(0) @ layers[0]
    torch.manual_seed(0)
    start = torch.full((20_000, 3), 0.5).double()
    found = list(means_along(machine, start, [5, 40]))
    assert [sweep for sweep, _ in found] == [5, 40]
    assert_mean(found[1][1], expected.detach())


def test_chains_below_real_units_are_those_of_the_machine(all_binary):
    """E[x] = b + s W E[h_1], with h_1 of the machine above the Gaussian RBM, enumerated."""
    torch.manual_seed(2)
    model = RealFineTunedDBM.tiny().double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5 * torch.randn_like(p))
        machine, layers = model.machine(), list(states([4, 3, 2], all_binary))
        expected = model.gaussian.visible_means((-machine.energy(layers)).softmax(0) @ layers[0])
        (_, found), *_ = means_along(model, torch.zeros(20_000, 3).double(), [30])
    assert_mean(found, expected)


def test_the_nearest_point_is_that_of_a_loop(monkeypatch):
    """With the points in several parts, and the first one of two that are alike."""
    monkeypatch.setattr(samples, "CHUNK", 4)
    torch.manual_seed(0)
    x, points = torch.rand(6, 5), torch.randint(256, (11, 5)).to(torch.uint8)
    points[9] = points[1]
    x[0] = points[1] / 255
    distance, index = nearest(x, TrainSplit(points, scale=255.0))
    table = np.linalg.norm(x.numpy()[:, None] - points.numpy()[None] / 255, axis=2)
    np.testing.assert_allclose(distance, table.min(1), atol=1e-3)
    assert index.tolist() == table.argmin(1).tolist()
    assert index[0] == 1


@pytest.fixture
def copier():
    """A machine whose pixels are those of its first hidden layer: all 16 images are as likely."""
    machine = DBM(visible=4, layers=[4, 2])
    with torch.no_grad():
        machine.weights[0].copy_(80 * torch.eye(4))
        machine.weights[1].zero_()
        machine.biases[0].fill_(-40)
        machine.biases[1].fill_(-40)
        machine.downward[0].zero_()
    return machine


def evaluator(**arguments):
    tiny = GibbsSamples.tiny()
    out = GibbsSamples(BARS, **arguments)
    out.net, out.metrics = tiny.net, tiny.metrics
    return out


def test_both_numbers_are_those_of_the_images(copier):
    """`distinct` from the kept images, exact here; `lenet_fid` from means drawn again."""
    asked = evaluator(chains=12, sweeps=6, states=2, pictures=12)
    points = TestSplit(torch.eye(4, dtype=torch.uint8).repeat(5, 1))
    found = asked(copier, points, seed=3)
    simulated, near = (found.per_point[name] / 255.0 for name in ("simulated", "nearest"))
    train = asked.dataset.load(3).train.values.numpy()
    to_train = np.linalg.norm(simulated[:, None] - train[None], axis=2).min(1)
    np.testing.assert_allclose(np.linalg.norm(simulated - near, axis=1), to_train, atol=1e-3)
    apart = np.linalg.norm(simulated[:, None] - simulated[None], axis=2)
    other = (apart + np.diag(np.full(12, np.inf))).min(1)
    median = np.sort(to_train)[5]  # torch takes the lower one of two
    assert found.metrics["distinct"].value == pytest.approx((other > median + 1e-3).mean())

    with evaluating(stream(3, "evaluate", "samples"), torch.device("cpu")):
        start = asked.dataset.load(3).train.means().expand(12, -1)
        made = torch.cat([asked.net.features(x) for _, x in means_along(copier, start, [4, 6])])
        expected = frechet_distance(made, asked.net.features(points.values.float()))
    assert found.metrics["lenet_fid"].value == pytest.approx(expected)


def test_chains_that_settle_on_one_image_are_not_distinct(copier):
    with torch.no_grad():
        copier.biases[1].copy_(torch.tensor([40.0, -120.0, -120.0, 40.0]))
    points = TestSplit(torch.eye(4, dtype=torch.uint8))
    found = evaluator(chains=8, sweeps=8, states=1)(copier, points, seed=0)
    assert np.unique(found.per_point["simulated"], axis=0).tolist() == [[255, 0, 0, 255]]
    assert found.metrics["distinct"].value == 0


def test_real_values_are_shown_in_the_range_of_the_data_and_only_the_first_units():
    images = {
        "data": torch.tensor([[-1.0, 3.0, 9.0]]),
        "simulated": torch.tensor([[1.0, 5.0, 0.0]]),
    }
    found = samples.pictures_of(images, 2)
    assert found["data"].tolist() == [[0, 255]]
    assert found["simulated"].tolist() == [[128, 255]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"net": "digits"}, "a net needs the sha256 of its weights"),
        ({"net": "digits", "sha256": "0" * 64}, "the weights of the LeNet digits have sha256"),
        ({"sweeps": 10, "states": 6}, "6 states of a chain's second half need 12 sweeps or more"),
        ({"data": {"use": "synthetic.Nothing"}}, "datasets has no 'synthetic.Nothing'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GibbsSamples(**{"data": BARS, **arguments})


def test_training_images_of_another_size_are_refused(copier):
    points = TestSplit(torch.zeros(3, 9, dtype=torch.uint8))
    with pytest.raises(ValueError, match="this DBM have 9 units, those of Bars have 4"):
        GibbsSamples(BARS, chains=4, sweeps=2, states=1)(copier, points, seed=0)
    with pytest.raises(ValueError, match="this DBM have 9 units, those of Bars have 4"):
        GibbsSamples(BARS).refuse(copier, (9,))
    sha256 = hashlib.sha256(weights_file("mnist").read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="sees images of 28 x 28 or 32 x 32; found 4 pixels"):
        GibbsSamples(BARS, net="mnist", sha256=sha256).refuse(copier, (4,))
