"""Standardised points, and images that move."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwbench.datasets.digits import Digits, RealDigits
from hwbench.datasets.real import TranslatedSplit, real_points, standard_of
from hwbench.models.exemplars import KNN
from hwbench.protocols import Splits, TestSplit, TrainSplit
from hwbench.rules.exemplars import ChooseK


def flat(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1)


@pytest.fixture
def moving() -> TranslatedSplit:
    """Twelve pairs of pictures of 5 x 5."""
    values = np.random.default_rng(0).integers(0, 256, (12, 50), dtype=np.uint8)
    raw = TrainSplit(torch.from_numpy(values), torch.arange(12), 255.0)
    splits = real_points(Splits(raw, None, TestSplit(raw.values)), (2, 5, 5), flat, (-2, 0, 1))
    assert isinstance(splits.train, TranslatedSplit)
    return splits.train


def shifted(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move a picture pixel by pixel; what comes in repeats the edge."""
    side = len(picture)
    out = np.empty_like(picture)
    for i in range(side):
        for j in range(side):
            out[i, j] = picture[min(max(i - down, 0), side - 1), min(max(j - right, 0), side - 1)]
    return out


def test_units_are_centred_one_by_one_and_scaled_together():
    x = torch.randn(2500, 3) * torch.tensor([0.5, 1.0, 3.0]) + torch.tensor([1.0, 2.0, 3.0])
    standard = standard_of(x)
    z = standard.apply_(x.clone())
    torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    assert z.square().mean().item() == pytest.approx(1.0, abs=1e-6)
    torch.testing.assert_close(z.std(0) / z[:, 0].std(), x.std(0) / x[:, 0].std())


def test_points_that_are_all_alike_are_refused():
    with pytest.raises(ValueError, match="all training points are alike"):
        standard_of(torch.ones(4, 2))


def test_real_digits_are_the_digits():
    real, grey = RealDigits().load(0), Digits("grey").load(0)
    x = grey.train.values.double() / 255
    mean, deviation = x.mean(0), (x - x.mean(0)).square().mean().sqrt()
    for a, b in zip(real, grey, strict=True):
        expected = ((b.values.double() / 255 - mean) / deviation).float()
        torch.testing.assert_close(a.values, expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(a.labels, b.labels)


def test_images_move_as_told(moving):
    """Each presentation is one of the nine moves of both pictures, standardised as at rest."""
    index = torch.arange(12).repeat(40)
    x = moving.batch(index, torch.Generator().manual_seed(0))
    mean, deviation = moving.standard
    back = ((x * deviation + mean) * 255).round().numpy().reshape(-1, 2, 5, 5)
    images = moving.values.numpy().reshape(-1, 2, 5, 5)
    counts = dict.fromkeys([(a, b) for a in (-2, 0, 1) for b in (-2, 0, 1)], 0)
    for found, image in zip(back, images[index.numpy()], strict=True):
        fits = [
            move
            for move in counts
            if all(np.array_equal(f, shifted(p, *move)) for f, p in zip(found, image, strict=True))
        ]
        (move,) = fits
        counts[move] += 1
    p, n = 1 / 9, len(index)
    assert all(abs(c - n * p) < 5 * (n * p * (1 - p)) ** 0.5 for c in counts.values())


def test_a_generator_fixes_the_moves(moving):
    index = torch.arange(12).view(3, 4)
    a, b, c = (moving.batch(index, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert a.shape == (3, 4, 50)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_splits_of_moving_images(moving):
    assert moving.visible == 50
    torch.testing.assert_close(moving.means(), torch.zeros(50), atol=1e-6, rtol=0)
    part = moving.to("cpu").subset(torch.tensor([3, 1]))
    assert type(part) is TranslatedSplit
    assert len(part) == 2
    assert torch.equal(part.values, moving.values[[3, 1]])
    assert len(part.labelled) == 12
    assert part.labels is None
    at_rest = real_points(
        Splits(TrainSplit(moving.values, scale=255.0), None, TestSplit(moving.values)),
        (2, 5, 5),
        flat,
        (0,),
    ).train
    torch.testing.assert_close(at_rest.batch(torch.arange(12)), moving.labelled.values)


def test_fits_that_keep_points_refuse_those_without_labels(moving):
    with pytest.raises(ValueError, match="needs labels; this TranslatedSplit has none"):
        ChooseK(k=[1])(KNN(visible=50, classes=12), moving, None, 0, lambda fraction, note: None)
