"""The four presentations of pixels."""

from __future__ import annotations

import hashlib

import pytest
import torch

from hwbench.datasets.digits import Digits
from hwbench.datasets.images import Points, bernoulli, cut, present
from hwbench.numerics import generator


@pytest.fixture
def grey() -> torch.Tensor:
    return torch.randint(0, 256, (5000, 6), generator=generator(0, "test"), dtype=torch.uint8)


@pytest.mark.statistical
def test_bernoulli_has_the_right_means(grey):
    """For each level, the fraction of ones is level / 255, within 5 standard errors."""
    x = bernoulli(grey, generator(1, "test"))
    p = torch.arange(256).double() / 255
    n = torch.bincount(grey.flatten().long(), minlength=256).double()
    ones = torch.bincount(grey.flatten().long(), weights=x.flatten().double(), minlength=256)
    assert x.unique().tolist() == [0, 1]
    assert ((ones - n * p).abs() <= 5 * (n * p * (1 - p)).sqrt() + 1e-9).all()


@pytest.mark.statistical
def test_pixels_are_independent(grey):
    """Residuals of two pixels of one image, and of one pixel of two images, do not correlate."""
    r = bernoulli(grey, generator(1, "test")).double() - grey.double() / 255
    for product in (r[:, 0] * r[:, 1], r[:-1, 0] * r[1:, 0], r[:904, 0] * r[4096:, 0]):
        assert abs(product.mean()) <= 5 * product.std() / len(product) ** 0.5


def test_the_stream_is_the_same_on_every_machine():
    """The `fixed` draw of the digits is part of what a result depends on: it must not change."""
    train, validation, test = Digits(pixels="fixed").load(0)
    raw = b"".join(part.values.numpy().tobytes() for part in (train, validation, test))
    assert hashlib.sha256(raw).hexdigest()[:16] == "098b4f3a2a5e1c51"


def points(n: int, start: int = 0) -> Points:
    values = torch.arange(start, start + n, dtype=torch.uint8)[:, None].expand(n, 3).contiguous()
    return Points(values, torch.arange(start, start + n))


def test_the_last_points_are_for_validation():
    splits = cut(points(10), points(4, 10), validation=3)
    assert splits.train.labels.tolist() == list(range(7))
    assert splits.validation.labels.tolist() == [7, 8, 9]
    assert splits.test.labels.tolist() == [10, 11, 12, 13]
    assert splits.train.values[:, 0].tolist() == list(range(7))


def test_no_validation():
    splits = cut(points(10), points(4), validation=0)
    assert splits.validation is None
    assert len(splits.train) == 10


@pytest.mark.parametrize("validation", [10, 11, -1])
def test_some_training_points_must_be_left(validation):
    with pytest.raises(ValueError, match=f"{validation} validation points"):
        cut(points(10), points(4), validation=validation)


def test_threshold_is_above_127():
    pool = Points(torch.tensor([[0, 127, 128, 255]], dtype=torch.uint8).expand(2, 4))
    splits = present("set", pool, pool, pixels="threshold", validation=1, seed=0)
    for part in splits:
        assert part.values.tolist()[0] == [0, 0, 1, 1]
        assert part.scale == 1.0
        assert not part.resample


def test_dynamic_draws_only_training_points_afresh(grey):
    splits = present("set", Points(grey), Points(grey), pixels="dynamic", validation=100, seed=0)
    assert splits.train.resample
    assert not splits.validation.resample
    assert not splits.test.resample
    index = torch.arange(50)
    once, again = (splits.train.batch(index, generator(s, "order")) for s in (0, 1))
    assert (once != again).any()
    assert torch.equal(splits.test.batch(index), splits.test.values[:50].float())


def test_validation_and_test_points_are_drawn_independently(grey):
    """The same images drawn for both parts differ."""
    same = Points(grey[:100])
    splits = present(
        "set", Points(torch.cat([grey, grey[:100]])), same, pixels="dynamic", validation=100, seed=0
    )
    assert (splits.validation.values != splits.test.values).any()


def test_sets_of_other_names_are_drawn_otherwise(grey):
    a, b = (
        present(n, Points(grey), Points(grey), pixels="fixed", validation=0, seed=0) for n in "ab"
    )
    assert (a.test.values != b.test.values).any()


def test_a_fixed_draw_does_not_depend_on_the_cut(grey):
    """An image has the same pixels whether it trains or validates."""
    ways = [
        present("s", Points(grey), Points(grey), pixels="fixed", validation=v, seed=0)
        for v in (0, 700)
    ]
    whole = torch.cat([ways[1].train.values, ways[1].validation.values])
    assert torch.equal(ways[0].train.values, whole)
