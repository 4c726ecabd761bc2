import hashlib
import math

import numpy as np
import pytest
import torch
from scipy import linalg

from hwbench.datasets import files
from hwbench.datasets.mnist import MNIST
from hwbench.evaluators.lenet import LeNet, LeNetFID, frechet_distance, load, weights_file
from hwbench.models.convolutional import BinaryImages
from hwbench.protocols import TestSplit
from tests.evaluators import train_lenet


def normal(n, mean, root, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return mean + torch.randn(n, len(mean), generator=draws).double() @ root.T


def checksum(name):
    return hashlib.sha256(weights_file(name).read_bytes()).hexdigest()


@pytest.fixture
def digits():
    return load("digits", checksum("digits"))


# --- the distance ---------------------------------------------------------------------------------


def test_the_distance_of_points_from_themselves_is_zero_in_any_order():
    x = normal(200, torch.zeros(5).double(), torch.eye(5).double())
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-12)
    assert frechet_distance(x, x.flip(0)) == pytest.approx(0.0, abs=1e-12)


def test_the_distance_is_that_of_two_gaussians():
    """With the root of C_a C_b by Schur's method; and in closed form where C_b = 4 C_a."""
    torch.manual_seed(0)
    root, other = (torch.randn(4, 4).double() for _ in range(2))
    a, b = normal(50, torch.ones(4).double(), root), normal(60, torch.zeros(4).double(), other, 1)
    cov_a, cov_b = np.cov(a.numpy().T), np.cov(b.numpy().T)
    means = np.square((a.mean(0) - b.mean(0)).numpy()).sum()
    trace = np.trace(cov_a + cov_b - 2 * linalg.sqrtm(cov_a @ cov_b).real)
    assert frechet_distance(a, b) == pytest.approx(means + trace, rel=1e-9)
    shift = torch.tensor([3.0, 0.0, -1.0, 0.5]).double()
    expected = shift.square().sum().item() + (2 - 1) ** 2 * np.trace(cov_a)
    scaled = a.mean(0) + shift + 2 * (a - a.mean(0))
    assert frechet_distance(a, scaled) == pytest.approx(expected, rel=1e-9)


def test_the_distance_does_not_depend_on_the_order_of_points_or_sets():
    a = normal(80, torch.zeros(3).double(), torch.eye(3).double())
    b = normal(70, torch.ones(3).double(), torch.diag(torch.tensor([1.0, 2.0, 0.5])).double(), 1)
    there = frechet_distance(a, b)
    assert frechet_distance(b, a) == pytest.approx(there, rel=1e-12)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(2))
    assert frechet_distance(a[order], b.flip(0)) == pytest.approx(there, rel=1e-12)


def test_the_bias_of_few_points_falls():
    """Of two samples of one distribution: a quarter with four times the points, by 1/n."""
    mean, root = torch.zeros(6).double(), torch.eye(6).double()
    biases = []
    for n in (50, 200, 800):
        found = [
            frechet_distance(normal(n, mean, root, 2 * i), normal(n, mean, root, 2 * i + 1))
            for i in range(30)
        ]
        biases.append(sum(found) / len(found))
    assert biases[0] / biases[1] == pytest.approx(4, rel=0.15)
    assert biases[1] / biases[2] == pytest.approx(4, rel=0.15)


def test_fewer_points_than_features_and_one_are_refused():
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert math.isfinite(frechet_distance(x, x + 1))
    with pytest.raises(ValueError, match=r"in 4 features needs 5 points or more; found 4"):
        frechet_distance(x, x[:4])


# --- the net --------------------------------------------------------------------------------------


def test_features_are_those_of_a_plain_loop():
    """By the definition of each layer, pixel by pixel; a border of zeros makes no difference."""
    torch.manual_seed(0)
    net = LeNet(sides=(4, 6), kernels=(3, 2), channels=(2, 3), features=2, classes=2)
    x = torch.rand(16)
    p = {name: value.detach().double().numpy() for name, value in net.named_parameters()}
    image = np.pad(x.double().numpy().reshape(4, 4), 1)[None]

    def convolve(a, weight, bias):
        size = weight.shape[-1]
        steps = range(a.shape[1] - size + 1)
        return np.array(
            [
                [[(w * a[:, i : i + size, j : j + size]).sum() + b for j in steps] for i in steps]
                for w, b in zip(weight, bias, strict=True)
            ]
        )

    a = np.tanh(convolve(image, p["convolutions.0.weight"], p["convolutions.0.bias"]))
    a = (a[:, ::2, ::2] + a[:, 1::2, ::2] + a[:, ::2, 1::2] + a[:, 1::2, 1::2]) / 4
    a = np.tanh(convolve(a, p["convolutions.1.weight"], p["convolutions.1.bias"]))
    expected = np.tanh(p["dense.weight"] @ a[:, 0, 0] + p["dense.bias"])
    with torch.no_grad():
        found = net.features(x[None])[0].double()
        bordered = net.features(torch.from_numpy(image).float().reshape(1, -1))[0]
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(bordered.double(), found)


def test_a_net_survives_its_arrays(digits):
    again = LeNet.of_arrays(digits.arrays())
    assert again.sides == digits.sides
    for name, value in digits.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


@pytest.mark.parametrize(
    ("name", "sides", "size"), [("mnist", (28, 32), 84), ("digits", (8, 12), 24)]
)
def test_the_nets_are_those_of_the_docstrings(name, sides, size):
    net = load(name, checksum(name))
    assert (net.sides, net.size) == (sides, size)
    assert weights_file(name).stat().st_size < 200_000


def test_other_weights_are_refused():
    with pytest.raises(
        ValueError, match=r"the weights of the LeNet digits have sha256 [0-9a-f]{64}"
    ):
        LeNetFID("digits", "0" * 64)


@pytest.mark.parametrize("few", [{"samples": 24}, {"samples": 500, "points": 24}])
def test_too_few_samples_or_points_are_refused_before_anything_is_trained(few):
    with pytest.raises(ValueError, match=r"24 features of .* need 25 samples .* \(found 24\)"):
        LeNetFID("digits", checksum("digits"), **few)


def test_images_of_another_size_are_refused(digits):
    with pytest.raises(ValueError, match="sees images of 8 x 8 or 12 x 12; found 100 pixels"):
        digits.features(torch.zeros(2, 100))
    evaluator = LeNetFID("digits", checksum("digits"), samples=30)
    model = BinaryImages(visible=16, shape=(4, 4), latent=2, channels=[2])
    points = TestSplit(torch.zeros(30, 16, dtype=torch.uint8))
    with pytest.raises(ValueError, match="images of this BinaryImages: this LeNet sees images of"):
        evaluator(model, points, seed=0)
    with pytest.raises(ValueError, match="sees images of 8 x 8 or 12 x 12; found 16 pixels"):
        evaluator.refuse(model, (4, 4))
    evaluator.refuse(BinaryImages(visible=64, shape=(8, 8), latent=2, channels=[2]), (8, 8))


# --- the metric -----------------------------------------------------------------------------------


def test_the_metric_is_the_distance_of_the_features_of_images(digits):
    """Of a model's means, and of all test points."""
    torch.manual_seed(3)
    model = BinaryImages(visible=64, shape=(8, 8), latent=3, channels=[4]).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.5 * torch.randn_like(p))
    points = TestSplit((torch.rand(40, 64) < 0.3).to(torch.uint8))
    evaluator = LeNetFID("digits", checksum("digits"), samples=60, pictures=5)
    found = evaluator(model, points, seed=0)
    images = {name: found.per_point[name] for name in evaluator.images}
    assert np.array_equal(images["data"][0], 255 * points.values[0].numpy())
    assert images["generated"].shape == (5, 64)
    value = found.metrics["lenet_fid"].value
    again = LeNetFID("digits", checksum("digits"), samples=60, points=39)(model, points, seed=0)
    assert again.metrics["lenet_fid"].n == 39
    assert again.metrics["lenet_fid"].value != value
    few = TestSplit(points.values[:20])
    with pytest.raises(ValueError, match="needs 25 points or more; found 20"):
        evaluator(model, few, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "grey", "drawn"), [("digits", 0.964, 0.82), ("mnist", 0.988, 0.985)]
)
def test_the_training_script_reproduces_the_accuracy_of_the_weights(name, grey, drawn):
    """To three standard errors of the difference of two shares."""
    if name == "mnist" and not files.available(MNIST("grey").files, download=False):
        pytest.skip("the digits of MNIST are not on this machine")
    splits = train_lenet.data_of(name)
    committed = load(name, checksum(name))
    again = train_lenet.train(name, splits.train, train_lenet.EPOCHS[name])
    for expected, way in ((grey, False), (drawn, True)):
        shares = [train_lenet.accuracy(net, splits.test, way) for net in (committed, again)]
        se = math.sqrt(2 * expected * (1 - expected) / len(splits.test))
        assert abs(shares[0] - expected) < 3 * se
        assert abs(shares[1] - shares[0]) < 3 * se
