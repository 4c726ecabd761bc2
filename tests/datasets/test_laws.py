"""Every class of the shelf, found by itself, obeys the protocol of data sets."""

from __future__ import annotations

import inspect
import math
import typing

import pytest
import torch

from hwbench import build
from hwbench.datasets import files
from hwbench.protocols import (
    Dataset,
    PairedTestSplit,
    PairedTrainSplit,
    PairedValidationSplit,
    Pairs,
    Pixels,
    Splits,
    TestSplit,
    TrainSplit,
    ValidationSplit,
)

SHELF = build.shelf("data")
WAYS = typing.get_args(Pixels)
IMAGES = 500  # of a set that draws as many as it is asked for


def instances() -> list:
    """Each class with each of the pixels that it allows."""
    out = []
    for name, cls in SHELF.items():
        few = {"images": IMAGES} if "images" in inspect.signature(cls).parameters else {}
        for pixels in WAYS:
            try:
                dataset = cls(pixels=pixels, **few)
            except ValueError:
                continue
            marks = [pytest.mark.data] if dataset.files else []
            out.append(pytest.param(dataset, id=f"{name}-{pixels}", marks=marks))
    return out


@pytest.fixture(scope="module", params=instances())
def dataset(request, needs) -> Dataset:
    needs(*request.param.files)
    return request.param


@pytest.fixture(scope="module")
def splits(dataset) -> Splits:
    return dataset.load(0)


def real(split) -> bool:
    """Say whether points are of any real values, and not bits or bytes."""
    return split.values.is_floating_point()


def same(a, b) -> bool:
    return all(
        (x is None and y is None)
        or (
            torch.equal(x.values, y.values)
            and (x.labels is None or torch.equal(x.labels, y.labels))
        )
        for x, y in zip(a, b, strict=True)
    )


def test_the_shelf_is_not_empty():
    assert {"mnist.MNIST", "digits.Digits", "omniglot.Omniglot", "synthetic.Bars"} <= set(SHELF)


@pytest.mark.parametrize("name", SHELF)
class TestConstruction:
    def test_arguments(self, name):
        """Pixels are an argument of every set; the rest have defaults, and build accepts tiny's."""
        cls = SHELF[name]
        assert "pixels" in inspect.signature(cls).parameters
        assert build.check_arguments(cls, {"pixels": "fixed"}) == []
        (error,) = build.check_arguments(cls, {"pixels": "colour"})
        assert "fixed" in str(error)

    def test_some_pixels_are_allowed_and_the_message_names_them(self, name):
        allowed, messages = [], []
        for pixels in WAYS:
            try:
                allowed.append(SHELF[name](pixels=pixels).pixels)
            except ValueError as error:
                messages.append((pixels, str(error)))
        assert allowed
        for pixels, message in messages:
            assert pixels in message
            assert all(way in message for way in allowed)

    def test_tiny(self, name):
        """It is of its class, names declared files, and needs none of them to be built."""
        tiny = SHELF[name].tiny()
        assert type(tiny) is SHELF[name]
        assert set(tiny.files) <= set(files.declared())
        assert math.prod(tiny.shape) > 0

    def test_docstring_says_what_pixels_may_be(self, name):
        assert "pixels:" in inspect.getdoc(SHELF[name])


def test_splits_are_of_their_types(splits):
    paired = isinstance(splits.train, Pairs)
    assert type(splits.train) is (PairedTrainSplit if paired else TrainSplit)
    held_out = PairedValidationSplit if paired else ValidationSplit
    assert splits.validation is None or type(splits.validation) is held_out
    assert type(splits.test) is (PairedTestSplit if paired else TestSplit)


def test_shapes_types_and_ranges(dataset, splits):
    for part in splits:
        if part is None:
            continue
        assert len(part) > 0
        assert part.visible == math.prod(dataset.shape)
        assert part.values.ndim == 2
        assert part.resample == (dataset.pixels == "dynamic" and isinstance(part, TrainSplit))
        if real(part):
            assert part.values.dtype == torch.float32
            assert part.values.isfinite().all()
            assert part.scale == 1.0
            assert dataset.pixels == "grey"
        else:
            assert part.values.dtype == torch.uint8
            grey = dataset.pixels == "grey" or part.resample
            assert part.scale == (255.0 if grey else 1.0)
            assert part.values.min() == 0
            assert part.values.max() == (255 if grey else 1)
        if isinstance(part, Pairs):
            assert part.labels is None
            assert part.targets.shape == (len(part), dataset.classes)
            assert part.targets.dtype == torch.bool
        elif dataset.classes:
            assert part.labels.shape == (len(part),)
            assert part.labels.dtype == torch.int64
            assert part.labels.min() >= 0
            assert part.labels.max() < dataset.classes
        else:
            assert part.labels is None


def test_batches_are_what_a_model_expects(dataset, splits):
    for part in splits:
        if part is None:
            continue
        x = part.batch(torch.arange(min(20, len(part))), torch.Generator().manual_seed(0))
        assert x.dtype == torch.float32
        if real(part):
            assert ((x != 0) & (x != 1)).any()
            continue
        assert x.min() >= 0
        assert x.max() <= 1
        if dataset.pixels != "grey":
            assert ((x == 0) | (x == 1)).all()


def test_seeds_decide_dynamic_draws_and_nothing_else(dataset, splits):
    """Whatever torch's own generator does, which loading leaves alone."""
    torch.manual_seed(99)
    before = torch.get_rng_state()
    other = dataset.load(1)
    assert torch.equal(before, torch.get_rng_state())
    assert same(splits, other) == (dataset.pixels != "dynamic")
    assert torch.equal(splits.train.values, other.train.values)
    if dataset.pixels == "dynamic":
        assert not torch.equal(splits.validation.values, other.validation.values)
        assert not torch.equal(splits.test.values, other.test.values)
        assert same(splits, dataset.load(0))
    other.train.values.zero_()
    assert splits.train.values.any()  # what is loaded twice shares no memory
