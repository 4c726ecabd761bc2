"""Data, labels and numbers that a model cannot have: one message each, from wherever they come."""

import math
import re

import pytest
import torch

from hwbench import contract, pipeline
from hwbench.check import check
from hwbench.datasets.digits import Digits
from hwbench.models.nade import NADE
from hwbench.models.net import Net
from hwbench.models.rbm import RBM
from hwbench.models.softplus import SoftplusGaussian
from hwbench.models.vae import VAE
from hwbench.protocols import (
    Dataset,
    Diverged,
    Evaluation,
    Metric,
    PartlyLabelledSplit,
    Splits,
    TestSplit,
    TrainSplit,
    ValidationSplit,
)
from hwbench.spec import Case, SpecError
from hwbench.spec.files import load_files
from tests.conftest import TINY

CPU = torch.device("cpu")


class Four(Dataset):
    """Points of four units, three classes; it holds what it is given."""

    shape = (2, 2)
    classes = 3

    def load(self, seed):
        raise NotImplementedError


def bits(n=8):
    return (torch.rand(n, 4, generator=torch.Generator().manual_seed(0)) < 0.5).to(torch.uint8)


def splits(values=None, labels=None, part="test", scale=1.0, resample=False):
    """Three splits of bits, one of which has other values or labels."""
    out = {"train": TrainSplit(bits()), "validation": None, "test": TestSplit(bits())}
    kind = {"train": TrainSplit, "validation": ValidationSplit, "test": TestSplit}[part]
    out[part] = kind(bits() if values is None else values, labels, scale, resample)
    return Splits(**out)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize(
    "model", [NADE(4, 3), VAE(4, 2, [3]), RBM(4, 3)], ids=lambda m: type(m).__name__
)
@pytest.mark.parametrize(
    ("values", "scale", "found"),
    [
        (torch.full((8, 4), 200, dtype=torch.uint8), 1.0, "from 200 to 200"),
        (torch.linspace(-1, 1, 32).view(8, 4), 1.0, "from -1 to 1"),
        (torch.linspace(0, 2, 32).view(8, 4), 1.0, "from 0 to 2"),
        (torch.full((8, 4), math.nan), 1.0, "not finite"),
        (torch.full((8, 4), math.inf), 1.0, "not finite"),
    ],
)
def test_a_model_of_bits_takes_values_from_0_to_1(part, model, values, scale, found):
    with pytest.raises(ValueError, match=found):
        contract.admit(splits(values, part=part, scale=scale), Four(), model)


def test_a_model_of_real_values_takes_any_finite_ones():
    values = torch.linspace(-9, 9, 32).view(8, 4)
    net = Net(4, 3, [2])
    assert contract.admit(splits(values), Four(), net).test.values is values
    with pytest.raises(ValueError, match="not finite"):
        contract.admit(splits(values / 0), Four(), net)


def test_grey_floats_are_scored_like_grey_bytes():
    """The kind of the number comes from the values, and the values stay the same to the bit."""
    grey = torch.rand(8, 4, generator=torch.Generator().manual_seed(1))
    admitted = contract.admit(splits(grey), Four(), NADE(4, 3))
    every = torch.arange(8)
    assert torch.equal(admitted.test.batch(every), grey)
    from hwbench.evaluators.exact import ExactLogLikelihood

    kinds = {
        name: metric.kind
        for name, metric in ExactLogLikelihood()(NADE(4, 3), admitted.test, seed=0).metrics.items()
    }
    assert set(kinds.values()) == {"score"}


def test_bits_and_drawn_pixels_stay_as_they_are():
    for given in (splits(), splits(torch.rand(8, 4), resample=True, part="train")):
        admitted = contract.admit(given, Four(), NADE(4, 3))
        assert all(a is b for a, b in zip(admitted, given, strict=True))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.eye(3, dtype=torch.long)[torch.arange(8) % 3], "not one-hot; found [8, 3]"),
        (torch.full((8,), 3), "labels must be from 0 to 2; found 3 to 3"),
        (torch.full((8,), -1), "labels must be from 0 to 2; found -1 to -1"),
        (torch.zeros(7, dtype=torch.long), "7 labels for 8 points"),
        (torch.zeros(8), "labels must be integers; found torch.float32"),
    ],
)
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_labels_are_class_numbers_one_for_each_point(part, labels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        contract.admit(splits(labels=labels, part=part), Four(), Net(4, 3, [2]))


def test_labels_of_a_labelled_part_are_checked_too():
    labelled = TrainSplit(bits(), torch.full((8,), 9))
    train = PartlyLabelledSplit(bits(), labelled=labelled)
    with pytest.raises(ValueError, match="labelled points: labels must be from 0 to 2"):
        contract.admit(splits()._replace(train=train), Four(), Net(4, 3, [2]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (splits(bits()[:, :3]), "test points have 3 units, training points 4"),
        (splits(bits()[:0]), r"test points must be \[N, D\]; found \[0, 4\]"),
        (splits(bits().view(8, 2, 2)), r"test points must be \[N, D\]; found \[8, 2, 2\]"),
        (splits(scale=0.0), "scale 0.0"),
    ],
)
def test_points_have_the_units_that_the_training_points_have(given, message):
    with pytest.raises(ValueError, match=message):
        contract.admit(given, Four(), NADE(4, 3))


def test_the_shape_is_that_of_the_points():
    other = Four()
    other.shape = (3, 2)
    with pytest.raises(ValueError, match=r"shape \(3, 2\) is not that of 4 observed units"):
        contract.admit(splits(), other, NADE(4, 3))


CASE = Case(
    spec="tiny/nade",
    at={"method": "NADE"},
    profile="smoke",
    seed=0,
    data={"use": "digits.RealDigits"},
    model={"use": "nade.NADE", "hidden": 4},
    train=[{"rule": {"use": "likelihood.MaximumLikelihood"}, "steps": 2}],
    evaluate=[{"use": "exact.ExactLogLikelihood"}],
)


def test_real_digits_are_no_data_of_a_nade():
    """They gave +118 nats of exact log-likelihood."""
    with pytest.raises(ValueError, match="NADE needs values from 0 to 1"):
        pipeline.construct(CASE, CPU)


def test_check_tells_that_a_model_of_bits_takes_no_real_digits(tmp_path):
    """`check` said fine, and the run failed."""
    path = tmp_path / "benchmarks/tiny/table.yaml"
    path.parent.mkdir(parents=True)
    text = TINY.replace("synthetic.Bars, pixels: fixed", "digits.RealDigits")
    path.write_text(text)
    with pytest.raises(
        SpecError, match=r"RealDigits: training points go from .* needs values from"
    ):
        load_files([path], check)
    path.write_text(text.replace("RealDigits", "Digits"))
    assert load_files([path], check)


@pytest.mark.parametrize("name", ["log_likelihood", "elbo", "nll", "log_likelihood_mean_weights"])
@pytest.mark.parametrize("kind", ["exact", "estimate", "lower bound", "score"])
def test_log_p_of_a_point_of_bits_is_at_most_0(name, kind):
    value = -0.5 if name == "nll" else 0.5
    with pytest.raises(Diverged, match=r"0\.5 nats"):
        contract.refuse_absurd(Evaluation({name: Metric(value, kind=kind)}), NADE(4, 3), 4)


def test_one_point_above_0_is_enough_if_log_p_is_exact():
    found = Evaluation(
        {"log_likelihood": Metric(-1.0, kind="exact")},
        {"log_px": torch.tensor([-3.0, 1.0]).numpy()},
    )
    with pytest.raises(Diverged, match="log p of a point is 1 nats"):
        contract.refuse_absurd(found, NADE(4, 3), 4)


@pytest.mark.parametrize("value", [1e5, -1e5, math.nan])
def test_the_guard_has_two_sides_for_densities(value):
    with pytest.raises(Diverged):
        contract.refuse_absurd(
            Evaluation({"log_likelihood": Metric(value)}), SoftplusGaussian(1), 1
        )
    contract.refuse_absurd(Evaluation({"log_likelihood": Metric(1.0)}), SoftplusGaussian(1), 1)


def test_digits_in_every_presentation_are_admitted():
    for pixels in ("fixed", "dynamic", "grey", "threshold"):
        data = Digits(pixels)
        given = data.load(0)
        assert contract.admit(given, data, NADE(64, 2)) == given
