"""The readers on tiny files of our own, and what they say of wrong ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from hwbench.datasets import files, mnist, ocr, omniglot, silhouettes, uci
from hwbench.datasets.digits import Digits
from hwbench.datasets.synthetic import Bars
from hwbench.protocols import DataMissing


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# --- MNIST ----------------------------------------------------------------------------------------


def idx(values: np.ndarray) -> bytes:
    return (
        struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()
    )


def test_idx(place, rng):
    values = rng.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    place("mnist/x", idx(values))
    assert np.array_equal(mnist.read_idx("mnist/x"), values)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x03\0\0\0\x01",
        idx(np.zeros((2, 2), np.uint8))[:-1],
        b"\0\0\x0d\x01\0\0\0\0",
    ],
)
def test_wrong_idx(place, raw):
    place("mnist/x", raw)
    with pytest.raises(files.DataCorrupt, match="mnist/x"):
        mnist.read_idx("mnist/x")


def test_mnist_reads_images_and_labels_together(place, rng):
    train, test = (rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for n in (7, 4))
    y, y_test = (rng.integers(0, 10, n, dtype=np.uint8) for n in (7, 4))
    contents = (train, y, test, y_test)
    for name, values in zip(mnist.MNIST("grey").files, contents, strict=True):
        place(name, idx(values))
    splits = mnist.MNIST("grey", validation=2).load(0)
    whole = torch.cat([splits.train.values, splits.validation.values]).numpy()
    assert np.array_equal(whole, train.reshape(7, 784))
    assert len(splits.train) == 5
    assert splits.validation.labels.tolist() == y[5:].tolist()
    assert np.array_equal(splits.test.values.numpy(), test.reshape(4, 784))
    assert splits.test.labels.tolist() == y_test.tolist()
    assert splits.train.batch(torch.tensor([1]))[0, 5].item() == pytest.approx(train[1, 0, 5] / 255)


def amat(values: np.ndarray) -> bytes:
    return b"".join(b" ".join(b"%d" % v for v in row) + b"\n" for row in values)


def test_fixed_mnist_reads_three_files(place, rng):
    parts = [rng.integers(0, 2, (n, 784), dtype=np.uint8) for n in (5, 3, 4)]
    dataset = mnist.MNIST("fixed")
    assert dataset.classes == 0
    for name, values in zip(dataset.files, parts, strict=True):
        place(name, amat(values))
    splits = dataset.load(0)
    for split, values in zip(splits, parts, strict=True):
        assert np.array_equal(split.values.numpy(), values)
        assert split.labels is None
    whole = mnist.MNIST("fixed", validation=0).load(0)
    assert whole.validation is None
    assert np.array_equal(whole.train.values.numpy(), np.concatenate(parts[:2]))


@pytest.mark.parametrize("raw", [b"", b"0 1\n0 1", b"0 1 1\n", b"0 2\n"])
def test_wrong_amat(place, raw):
    place("set/x.amat", raw)
    with pytest.raises(files.DataCorrupt, match=r"set/x\.amat"):
        mnist.read_amat("set/x.amat", 2)


def test_missing_mnist_names_its_checksum(alone):
    with pytest.raises(
        DataMissing, match="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ):
        mnist.MNIST("dynamic").load(0)
    with pytest.raises(
        DataMissing, match="ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"
    ):
        mnist.MNIST("fixed").load(0)


# --- OMNIGLOT -------------------------------------------------------------------------------------


def chardata(train: np.ndarray, test: np.ndarray) -> bytes:
    """A MATLAB file as the original: an image [28, 28] is a column, itself column by column."""
    from scipy.io import savemat

    columns = {
        key: np.stack([image.flatten(order="F") for image in images], axis=1) / 255
        for key, images in (("data", train), ("testdata", test))
    }
    buffer = io.BytesIO()
    savemat(buffer, {**columns, "target": np.zeros((50, len(train)))}, do_compression=True)
    return buffer.getvalue()


def test_chardata_comes_upright_and_in_the_order_of_the_paper(place, rng):
    train, test = (rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for n in (12, 5))
    train[:, 0, :] = 255  # a bar at the top: first of all in row-major pixels
    place("omniglot/chardata.mat", chardata(train, test))
    splits = omniglot.Omniglot("grey", validation=3).load(0)
    order = np.random.RandomState(123).permutation(12)
    whole = torch.cat([splits.train.values, splits.validation.values]).numpy()
    assert np.array_equal(whole, train.reshape(12, 784)[order])
    assert (splits.train.values[:, :28] == 255).all()
    assert len(splits.validation) == 3
    assert np.array_equal(splits.test.values.numpy(), test.reshape(5, 784))


def test_missing_chardata_names_its_md5_and_address(alone):
    with pytest.raises(DataMissing, match="md5 21ecaf34373511aa7691cf2e0802aa3d") as caught:
        omniglot.Omniglot("dynamic").load(0)
    assert "yburda/iwae" in str(caught.value)


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_drawings_split(place):
    """Training images come in the paper's permutation, the last for validation; 2 is left out."""
    x = np.arange(900, dtype=np.uint16).view(np.uint8).reshape(900, 1, 2)
    split = (np.arange(900) % 3).astype(np.uint8)
    place("omniglot/omniglot28_full.npz", npz(x=x, split=split))
    splits = omniglot.OmniglotDrawings("grey", validation=50).load(0)
    numbers = [(part.values[:, 1].long() * 256 + part.values[:, 0]).tolist() for part in splits]
    pool = np.random.RandomState(123).permutation(300) * 3
    assert numbers == [pool[:250].tolist(), pool[250:].tolist(), list(range(1, 900, 3))]


def test_stand_ins_say_that_they_depart():
    assert omniglot.OmniglotDrawings.departs
    assert uci.WebCopy.departs
    assert not uci.Mushrooms.departs


# --- OCR letters ----------------------------------------------------------------------------------


def table(x: np.ndarray, y: np.ndarray) -> bytes:
    lines = (
        "\t".join([str(i), chr(ord("a") + label), "-1", "1", "1", "0", *map(str, row)]) + "\t\n"
        for i, (row, label) in enumerate(zip(x.tolist(), y.tolist(), strict=True))
    )
    return "".join(lines).encode()


@pytest.fixture
def letters(rng) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 2, (30, 128), dtype=np.uint8), rng.integers(0, 26, 30, dtype=np.uint8)


def test_the_table_of_letters(letters):
    x, y = ocr.read_table(table(*letters))
    assert np.array_equal(x, letters[0])
    assert np.array_equal(y, letters[1])


def test_a_wrong_table_of_letters(letters):
    raw = table(*letters)
    for wrong in (
        b"",
        raw.replace(b"\t1\t\n", b"\t2\t\n"),
        raw[:-5],
        raw.replace(b"0\t", b"", 1)[3:],
    ):
        with pytest.raises(files.DataCorrupt, match=r"letter\.data"):
            ocr.read_table(wrong)


def test_letters_from_the_table(declare, alone, letters, monkeypatch):
    x, y = letters
    declare(ocr.TABLE, None, packed=True)
    declare(ocr.COPY, b"")
    path = alone / "data" / f"{ocr.TABLE}.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(table(x, y)))
    line = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    path.with_name(files.SUMS).write_text(line)
    monkeypatch.setattr(ocr, "_TEST", 6)
    with pytest.raises(files.DataCorrupt, match=r"letter\.data\.gz is not .*letter\.data: sha256"):
        ocr.OCRLetters(validation=4).load(0)
    monkeypatch.setattr(ocr, "CONTENT", ocr.content(x, y))
    splits = ocr.OCRLetters(validation=4).load(0)
    assert [len(part) for part in splits] == [20, 4, 6]
    order = ocr.shuffled(30)
    assert sorted(order) == list(range(30))
    assert np.array_equal(torch.cat([p.values for p in splits]).numpy(), x[order])
    assert torch.cat([p.labels for p in splits]).tolist() == y[order].tolist()


def test_letters_from_the_copy(declare, place, letters, monkeypatch):
    x, y = letters
    parts = {
        "idx_train": np.arange(20),
        "idx_valid": np.arange(24, 20, -1),
        "idx_test": np.arange(25, 30),
    }
    place(ocr.COPY, npz(x=x, y=y, **parts))
    declare(ocr.TABLE, None, packed=True)
    monkeypatch.setattr(ocr, "_TEST", 5)
    splits = ocr.OCRLetters(validation=4).load(0)
    assert splits.validation.labels.tolist() == y[24:20:-1].tolist()
    assert np.array_equal(splits.test.values.numpy(), x[25:])


def test_content_is_the_same_in_any_order(letters, rng):
    x, y = letters
    order = rng.permutation(30)
    assert ocr.content(x, y) == ocr.content(x[order], y[order])
    assert ocr.content(x, y) != ocr.content(x, y[order])


def test_python_2_shuffled_like_this():
    """The first numbers of `random.seed(12345); random.random()` are those of Python 2."""
    assert ocr.shuffled(1).tolist() == [0]
    assert ocr.shuffled(2).tolist() == [1, 0]  # int(0.4166 * 2) = 0: the two change places


# --- the binary sets ------------------------------------------------------------------------------


def libsvm(values: np.ndarray) -> bytes:
    return b"".join(
        b"+1 " + b" ".join(b"%d:1" % (i + 1) for i in np.flatnonzero(row)) + b" \n"
        for row in values
    )


def dense(values: np.ndarray) -> bytes:
    return b"".join(b" ".join(b"%d" % v for v in row) + b" -1\n" for row in values)


@pytest.mark.parametrize(("cls", "write"), [(uci.Web, libsvm), (uci.NIPS, dense)])
def test_published_files(declare, place, rng, monkeypatch, cls, write):
    monkeypatch.setattr(cls, "sizes", (5, 3, 4))
    parts = [rng.integers(0, 2, (n, *cls.shape), dtype=np.uint8) for n in (5, 3, 4)]
    for part in parts:
        part[:, -1] = 0  # the number of units does not show in the file
    for name, part in zip(cls.published, parts, strict=True):
        place(name, write(part))
    if cls.copy:
        declare(cls.copy, b"not here")
    for split, part in zip(cls().load(0), parts, strict=True):
        assert np.array_equal(split.values.numpy(), part)
    place(cls.published[2], write(parts[2][:-1]))
    with pytest.raises(files.DataCorrupt, match=r"\(5, 3, 4\) points"):
        cls().load(0)


@pytest.mark.parametrize("raw", [b"", b"<html>\n", b"+1 3:1\n", b"+1 1:2\n", b"+1 0:1\n"])
def test_wrong_libsvm(place, raw):
    place("uci_binary/x.libsvm", raw)
    with pytest.raises(files.DataCorrupt, match=r"x\.libsvm"):
        uci.read_libsvm("uci_binary/x.libsvm", 2)


@pytest.mark.parametrize("raw", [b"", b"0 1 1 1\n", b"0 2 1\n", b"0 1\n"])
def test_wrong_dense(place, raw):
    place("uci_binary/x.amat", raw)
    with pytest.raises(files.DataCorrupt, match=r"x\.amat"):
        uci.read_dense("uci_binary/x.amat", 2)


def test_the_copy_serves_where_the_published_files_are_absent(declare, place, rng, monkeypatch):
    monkeypatch.setattr(uci.Mushrooms, "sizes", (3, 2, 1))
    x = rng.integers(0, 2, (6, 112), dtype=np.uint8)
    for name in uci.Mushrooms.published:
        declare(name, None)
    place(uci.Mushrooms.copy, npz(x_train=x[:3], x_valid=x[3:5], x_test=x[5:]))
    assert uci.Mushrooms().files == (uci.Mushrooms.copy,)
    splits = uci.Mushrooms().load(0)
    assert np.array_equal(torch.cat([p.values for p in splits]).numpy(), x)


@pytest.mark.parametrize(
    "cls", [uci.Adult, uci.Connect4, uci.DNA, uci.Mushrooms, uci.NIPS, uci.RCV1, uci.Web]
)
def test_a_published_set_that_cannot_be_had_says_where_it_is(alone, cls):
    with pytest.raises(DataMissing, match="larocheh") as caught:
        cls().load(0)
    assert cls.published[0] in str(caught.value)


# --- silhouettes ----------------------------------------------------------------------------------


def silhouette_file(**changed: np.ndarray) -> bytes:
    """Return a file of the right sizes; image i is one shape pixel in row 1, column i % 28."""
    content = {}
    for part, size in silhouettes.SIZES.items():
        x = np.ones((size, 28, 28), np.uint8)
        x[np.arange(size), np.arange(size) % 28, 1] = 0  # column by column
        content[f"{part}_data"] = x.reshape(size, 784)
        content[f"{part}_labels"] = (np.arange(size)[:, None] % 101 + 1).astype(np.uint8)
    from scipy.io import savemat

    raw = io.BytesIO()
    savemat(raw, content | changed)
    return raw.getvalue()


def test_silhouettes_are_upright_ones_on_zeros(place):
    place(silhouettes.CalTech101.files[0], silhouette_file())
    splits = silhouettes.CalTech101().load(0)
    assert [len(part) for part in splits] == [4100, 2264, 2307]
    images = splits.test.values.reshape(-1, 28, 28)
    assert torch.equal(images.sum((1, 2)), torch.ones(2307, dtype=torch.int64))
    assert images[5, 1, 5] == 1
    assert splits.test.labels[:3].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "changed",
    [
        {"val_data": np.ones((9, 784), np.uint8)},
        {"test_labels": np.ones((3, 1), np.uint8)},
        {"train_data": np.full((4100, 784), 2, np.uint8)},
        {"test_labels": np.zeros((2307, 1), np.uint8)},
    ],
)
def test_wrong_silhouettes(place, changed):
    place(silhouettes.CalTech101.files[0], silhouette_file(**changed))
    with pytest.raises(files.DataCorrupt, match=r"split1\.mat"):
        silhouettes.CalTech101().load(0)


# --- digits and bars ------------------------------------------------------------------------------


def test_digits_are_split_without_loss():
    """The three parts are all 1797 images, each once, with their labels."""
    splits = Digits(pixels="grey").load(0)
    rows = torch.cat([torch.column_stack([p.values, p.labels]) for p in splits])
    raw = load_digits()
    wanted = np.column_stack([np.rint(raw.data * 255 / 16), raw.target])
    assert [len(p) for p in splits] == [1297, 250, 250]
    assert sorted(rows.tolist()) == sorted(wanted.astype(int).tolist())


def test_digits_keep_their_test_points():
    a, b = (Digits(pixels="grey", validation=v).load(0) for v in (0, 500))
    assert torch.equal(a.test.values, b.test.values)
    assert a.validation is None
    assert torch.equal(a.train.values, torch.cat([b.train.values, b.validation.values]))


@pytest.mark.parametrize("side", [2, 3, 4])
def test_entropy_of_bars_by_enumeration(side):
    p: dict[tuple, float] = {}
    for upright in (0, 1):
        for lines in np.ndindex(*[2] * side):
            image = np.tile(lines, (side, 1))
            key = tuple((image if upright else image.T).flatten())
            p[key] = p.get(key, 0.0) + 0.5 / 2**side
    assert len(p) == 2 ** (side + 1) - 2
    assert Bars(side).entropy() == pytest.approx(-sum(q * np.log(q) for q in p.values()), rel=1e-12)


def test_bars_are_bars():
    """Every image is all rows or all columns."""
    for part in Bars(side=3).load(0):
        x = part.values.reshape(-1, 3, 3)
        rows, columns = (x == x[:, :, :1]).all((1, 2)), (x == x[:, :1, :]).all((1, 2))
        assert (rows | columns).all()
        assert rows.any()
        assert columns.any()


@pytest.mark.statistical
def test_bars_follow_their_distribution():
    """Frequencies of the patterns against their probabilities, χ² within 5 standard deviations."""
    splits = Bars(side=3).load(0)
    x = torch.cat([p.values for p in splits])
    patterns, counts = x.unique(dim=0, return_counts=True)
    ones = patterns.sum(1)
    p = torch.where((ones == 0) | (ones == 9), 1 / 8, 1 / 16)
    assert p.sum() == 1
    chi2 = ((counts - len(x) * p) ** 2 / (len(x) * p)).sum()
    degrees = len(p) - 1
    assert abs(chi2 - degrees) <= 5 * (2 * degrees) ** 0.5
