import numpy as np
import pytest

from hwbench.datasets import fashion
from hwbench.datasets.fashion import FashionMNIST
from hwbench.datasets.files import declared
from hwbench.protocols import DataMissing


@pytest.fixture
def stored(monkeypatch):
    """Arrays as in the files: 6 training images and 4 test images, image i of grey value i."""
    arrays = {}
    for name, n in zip(FashionMNIST.files, (6, 6, 4, 4), strict=True):
        values = np.arange(n, dtype=np.uint8)
        arrays[name] = np.tile(values[:, None, None], (1, 28, 28)) if "images" in name else values
    monkeypatch.setattr(fashion, "read_idx", arrays.__getitem__)


def test_images_keep_their_labels_and_get_a_border(stored):
    data = FashionMNIST("grey", validation=2, border=2)
    train, validation, test = data.load(0)
    assert data.shape == (32, 32)
    for split, labels in ((train, [0, 1, 2, 3]), (validation, [4, 5]), (test, [0, 1, 2, 3])):
        assert split.labels.tolist() == labels
        images = split.values.view(-1, 32, 32)
        assert images[:, 2:30, 2:30].unique(dim=0).shape[0] == len(labels)
        assert images[:, 2:30, 2:30].amax((1, 2)).tolist() == labels
        assert images.sum((1, 2)).tolist() == [28 * 28 * label for label in labels]


def test_the_draw_of_fixed_pixels_is_the_same_for_every_seed(stored):
    one, other = (FashionMNIST("fixed").load(seed).train.values for seed in (0, 1))
    assert (one == other).all()
    assert set(one.unique().tolist()) <= {0, 1}


def test_files_are_taken_packed_as_only_packed_ones_can_be_verified():
    for name in FashionMNIST.files:
        file = declared()[name]
        assert file.packed.sha256
        assert not file.plain.checksum
        assert all(address.endswith(".gz") for address in file.addresses)
        assert file.addresses[0].startswith("http://fashion-mnist.s3-website.eu-central-1.")


def test_what_is_missing_is_named(alone, monkeypatch):
    with pytest.raises(DataMissing, match="fashion_mnist/train-images-idx3-ubyte"):
        FashionMNIST("grey").load(0)
