"""The reader of small NORB on files in its format, its fovea, and its splits."""

from __future__ import annotations

import gzip
import hashlib
import struct

import numpy as np
import pytest
import torch

from hwbench.datasets import files, halves, norb
from hwbench.protocols import DataMissing

CATEGORIES, TOYS = norb.CATEGORIES, (4, 6, 7, 8, 9)
TRAIN, TEST = (f"norb/smallnorb-{name}" for name in norb._NAMES)


def matrix(values: np.ndarray) -> bytes:
    """Return a file in NORB's format: magic, dimensions (three at least), values."""
    magic = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54}[str(values.dtype)]
    sizes = [*values.shape, *[1] * (3 - values.ndim)]
    return struct.pack(f"<{2 + len(sizes)}I", magic, values.ndim, *sizes) + values.tobytes()


def part(rng: np.random.Generator, each: int, toys=TOYS) -> dict[str, np.ndarray]:
    """Return pictures, categories and info of `each` views of all toys."""
    n = CATEGORIES * len(toys) * each
    images = rng.integers(0, 256, (n, 2, 96, 96), dtype=np.uint8)
    labels = np.arange(n, dtype=np.int32) % CATEGORIES
    info = np.zeros((n, 4), np.int32)
    info[:, 0] = np.array(toys)[np.arange(n) // CATEGORIES % len(toys)]
    return {"dat": images, "cat": labels, "info": info}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def placed(place, rng):
    """Put small files of both parts into `data/`; returns what is in them."""
    parts = {TRAIN: part(rng, each=3), TEST: part(rng, 1, toys=(0, 1, 2, 3, 5))}
    for name, arrays in parts.items():
        for kind, values in arrays.items():
            place(f"{name}-{kind}.mat", matrix(values))
    return parts


# --- the format -----------------------------------------------------------------------------------


def test_the_format_is_the_official_one():
    """The labels of both parts are 0 1 2 3 4 0 1 …: written by us, they are the declared files."""
    raw = matrix(np.arange(24300, dtype=np.int32) % 5)
    for name in (TRAIN, TEST):
        form = files.declared()[f"{name}-cat.mat"].plain
        assert hashlib.md5(raw).hexdigest() == form.md5
        assert len(raw) == form.bytes
        assert files.declared()[f"{name}-dat.mat"].plain.bytes == 24 + 24300 * 2 * 96 * 96
        assert files.declared()[f"{name}-info.mat"].plain.bytes == 20 + 24300 * 4 * 4


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("kind", "shape"), [("uint8", (3, 2, 5, 4)), ("int32", (7,)), ("int32", (3, 4))]
)
def test_a_matrix(declare, alone, rng, kind, shape, packed):
    values = rng.integers(0, 100, shape).astype(kind)
    raw = matrix(values)
    declare("norb/x.mat", raw, packed=True)
    path = alone / "data" / "norb" / ("x.mat.gz" if packed else "x.mat")
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(raw, mtime=0) if packed else raw)
    found = norb.read_matrix("norb/x.mat")
    assert found.dtype == values.dtype
    assert np.array_equal(found, values)


GOOD = matrix(np.zeros((3, 4), np.int32))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "magic number .* 0x1e3d4c55 or 0x1e3d4c54; found 0x0"),
        (b"\x56" + GOOD[1:], "magic number .* found 0x1e3d4c56"),
        (b"MATLAB 5.0 MAT-file", "magic number"),
        (GOOD[:12], "header of 1 to 4 dimensions expected"),
        (GOOD[:4] + struct.pack("<I", 99) + GOOD[8:], "found 99"),
        (GOOD[:-1], r"47 bytes of values where a matrix of \(3, 4\) has 48"),
        (GOOD + b"\0", r"49 bytes of values where a matrix of \(3, 4\) has 48"),
    ],
)
def test_a_wrong_matrix(place, raw, message):
    place("norb/x.mat", raw)
    with pytest.raises(files.DataCorrupt, match=rf"norb/x\.mat is not norb/x\.mat: .*{message}"):
        norb.read_matrix("norb/x.mat")


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("cat", np.zeros(74, np.int32), r"cat\.mat: \(74,\) values for the 75 pairs of .*dat\.mat"),
        ("info", np.zeros((76, 4), np.int32), r"info\.mat: \(76, 4\) values for the 75 pairs"),
        ("info", np.zeros((75, 3), np.int32), r"info\.mat: \(75, 3\) values for the 75 pairs"),
        ("cat", np.full(75, 5, np.int32), r"cat\.mat: categories are 0 to 4; found 5 to 5"),
        ("dat", np.zeros((75, 96, 96), np.uint8), r"bytes of \(N, 2, 96, 96\) expected"),
    ],
)
def test_files_that_do_not_belong_together(placed, place, kind, values, message):
    place(f"{TRAIN}-{kind}.mat", matrix(values))
    with pytest.raises(files.DataCorrupt, match=message):
        norb.SmallNORB().load(0)


def test_missing_norb_names_file_checksum_and_address(alone):
    with pytest.raises(DataMissing, match="5ffd6272a07d32695ee1082a26a41a93") as caught:
        norb.SmallNORB().load(0)
    for words in (f"{TRAIN}-dat.mat", "cs.nyu.edu/~ylclab", "HWBENCH_DATA"):
        assert words in str(caught.value)


# --- the fovea ------------------------------------------------------------------------------------


def test_the_fovea_block_by_block(rng):
    """Every block of every ring by hand, in the order that is told; 4488 of them."""
    picture = rng.integers(0, 256, (96, 96)).astype(np.float32)
    expected = [picture[16:80, 16:80].flatten()]
    start = 0
    for width in (8, 4, 2, 2):
        end = 96 - start
        for top in range(start, end, width):
            for left in range(start, end, width):
                if min(top, left) == start or max(top, left) == end - width:
                    block = picture[top : top + width, left : left + width]
                    expected.append(block.mean(keepdims=True).flatten())
        start += width
    assert start == 16
    found = norb.foveate(torch.from_numpy(picture))
    assert found.shape == (4488,)
    np.testing.assert_array_equal(found.numpy(), np.concatenate(expected))


def test_the_fovea_sees_every_pixel_once():
    """Inputs times pixels of their block add up to the picture's sum; pictures do not mix."""
    pictures = torch.rand(3, 2, 96, 96, dtype=torch.float64)
    seen = norb.foveate(pictures)
    areas = torch.cat([torch.full((n,), a) for n, a in ((4096, 1), (44, 64), (76, 16), (272, 4))])
    torch.testing.assert_close((seen * areas).sum(-1), pictures.sum((-2, -1)))
    torch.testing.assert_close(seen[1, 0], norb.foveate(pictures[1, 0]))


# --- the splits -----------------------------------------------------------------------------------


def test_foveated_points_are_standardised_by_the_training_points(placed):
    splits = norb.SmallNORB().load(0)
    assert [s if s is None else tuple(s.values.shape) for s in splits] == [
        (75, 8976),
        None,
        (25, 8976),
    ]
    raw = {name: torch.from_numpy(arrays["dat"]) for name, arrays in placed.items()}
    seen, test = (norb.foveate(raw[name].double() / 255).flatten(1) for name in (TRAIN, TEST))
    mean = seen.mean(0)
    deviation = (seen - mean).square().mean().sqrt()
    for split, x in ((splits.train, seen), (splits.test, test)):
        assert split.values.dtype == torch.float32
        assert split.scale == 1.0
        assert torch.equal(split.batch(torch.arange(len(x))), split.values)
        expected = ((x - mean) / deviation).float()
        torch.testing.assert_close(split.values, expected, atol=1e-5, rtol=1e-5)
    assert splits.train.values.mean(0).abs().max() < 1e-5
    assert splits.train.values.square().mean().item() == pytest.approx(1.0, abs=1e-5)
    assert splits.train.labels.tolist() == placed[TRAIN]["cat"].tolist()
    assert splits.test.labels.tolist() == placed[TEST]["cat"].tolist()


def test_raw_points_stay_bytes(placed):
    dataset = norb.RawNORB()
    splits = dataset.load(0)
    assert dataset.shape == (2, 96, 96)
    assert splits.train.scale == 255.0
    assert np.array_equal(splits.train.values.numpy(), placed[TRAIN]["dat"].reshape(75, -1))


def test_validation_points_are_of_toys_that_do_not_train(placed):
    """One toy of each category, whole, and the same whatever the seed and the view of them."""
    dataset = norb.RawNORB(validation=15)
    splits = dataset.load(0)
    rows = {row.tobytes(): i for i, row in enumerate(placed[TRAIN]["dat"].reshape(75, -1))}
    info, labels = placed[TRAIN]["info"][:, 0], placed[TRAIN]["cat"]
    where = [[rows[x.numpy().tobytes()] for x in s.values] for s in splits[:2]]
    train, held = ({(labels[i], info[i]) for i in index} for index in where)
    assert len(held) == 5
    assert {category for category, _ in held} == set(range(5))
    assert not train & held
    assert len(train) == 20
    assert [len(index) for index in where] == [60, 15]
    assert splits.validation.labels.tolist() == labels[where[1]].tolist()
    assert torch.equal(dataset.load(7).validation.values, splits.validation.values)
    few = norb.RawNORB(validation=4).load(0)
    assert torch.equal(few.validation.values, splits.validation.values[:4])
    assert torch.equal(few.train.values, splits.train.values)
    seen = norb.SmallNORB(validation=15).load(0)
    assert torch.equal(seen.validation.labels, splits.validation.labels)
    with pytest.raises(ValueError, match=r"SmallNORB: 20 validation points asked for, .* have 15"):
        norb.SmallNORB(validation=20).load(0)


def test_translated_training_points_keep_their_labelled_ones(placed, monkeypatch):
    plain = norb.SmallNORB(validation=15).load(0)
    moving = norb.SmallNORB(validation=15, translations=True).load(0)
    assert torch.equal(moving.train.labelled.values, plain.train.values)
    assert torch.equal(moving.train.labelled.labels, plain.train.labels)
    assert torch.equal(moving.validation.values, plain.validation.values)
    assert moving.train.labels is None
    assert moving.train.visible == 8976
    assert len(moving.train) == 60
    assert len(moving.train.shifts) ** 2 - 1 == 1_166_400 / 24_300
    index = torch.arange(60)
    assert (moving.train.batch(index) != plain.train.values).any(1).double().mean() > 0.9
    monkeypatch.setattr(norb, "SHIFTS", (0,))
    at_rest = norb.SmallNORB(validation=15, translations=True).load(0).train
    torch.testing.assert_close(at_rest.batch(index), plain.train.values)


def test_pixels_are_grey():
    with pytest.raises(ValueError, match=r"SmallNORB .* pixels must be grey \(found fixed\)"):
        norb.SmallNORB(pixels="fixed")


@pytest.mark.parametrize(
    ("half", "rows", "columns"),
    [
        ("left", slice(None), slice(48)),
        ("right", slice(None), slice(48, None)),
        ("top", slice(48), slice(None)),
        ("bottom", slice(48, None), slice(None)),
    ],
)
def test_a_half_is_that_of_both_pictures(half, rows, columns):
    """Changing its pixels changes its inputs, all of them, and no other input."""
    pictures = torch.rand(2, 96, 96, generator=torch.Generator().manual_seed(0))
    changed = pictures.clone()
    changed[:, rows, columns] += 1
    before, after = (norb.foveate(p).flatten() for p in (pictures, changed))
    assert torch.equal(halves.HalvedNORB().half(half), before != after)
