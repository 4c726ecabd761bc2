"""The binary sets of Larochelle and Murray (2011), section 5: seven here, OCR letters in `ocr.py`.

A class reads Larochelle's three files or, where it has one, a copy with the same points. The
checksums of his files are unknown, so they are accepted by their sizes and values. WebCopy has the
points of Web in another split, as stated in its attribute `departs`. It is a set of its own, so
that a result names the set it used.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from hwbench.datasets import files
from hwbench.datasets.images import Points, cut, only_fixed
from hwbench.protocols import Dataset, Pixels, Splits


def read_libsvm(name: str, visible: int) -> UInt8[np.ndarray, "n d"]:
    """Return the points [N, D] of a LIBSVM file: a label, then the indices (from 1) of the ones.

    Raises:
        DataMissing: the file is unavailable.
        files.DataCorrupt: its format is wrong.
    """
    from sklearn.datasets import load_svmlight_file

    raw = files.read(name)
    try:
        sparse, _ = load_svmlight_file(io.BytesIO(raw), n_features=visible, zero_based=False)
    except (ValueError, OverflowError) as error:
        raise files.wrong(name, f"no LIBSVM file of {visible} units: {error}") from None
    values = sparse.toarray()
    if len(values) == 0 or not np.isin(values, (0, 1)).all():
        raise files.wrong(name, "values other than 0 and 1, or no points")
    return values.astype(np.uint8)


def read_dense(name: str, visible: int) -> UInt8[np.ndarray, "n d"]:
    """Return the points [N, D] of a text file whose lines are D zeros and ones and a target.

    Raises:
        DataMissing: the file is unavailable.
        files.DataCorrupt: its format is wrong.
    """
    lines = [line.rsplit(None, 1)[0] for line in files.read(name).splitlines() if line.strip()]
    if any(len(line) != 2 * visible - 1 for line in lines) or not lines:
        raise files.wrong(name, f"not lines of {visible} zeros and ones and a target")
    values = np.frombuffer(b" ".join([*lines, b""]), np.uint8)[0::2] - ord("0")
    if values.max() > 1:
        raise files.wrong(name, "values other than 0 and 1")
    return values.reshape(-1, visible)


class _BinarySet(Dataset):
    """A set that is binary by nature, without labels.

    Attributes:
        published: files of the published split: train, validation, test.
        sizes: number of points in each.
        copy: an .npz file with arrays x_train, x_valid and x_test, or ''.
        departs: how the split differs from the published one, or '' if it is the same.
    """

    published: tuple[str, ...] = ()
    sizes: tuple[int, int, int]
    copy: str = ""
    departs: str = ""

    def __init__(self, pixels: Pixels = "fixed") -> None:
        only_fixed(pixels, type(self).__name__)
        self.pixels = pixels

    @property
    def files(self) -> tuple[str, ...]:  # type: ignore[override]
        """Return the copy or the published files, whichever are on this machine."""
        groups = [group for group in (self.published, (self.copy,)) if any(group)]
        return groups[0] if len(groups) == 1 else files.either(*groups)

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed.

        Raises:
            DataMissing: a file is not on this machine and cannot be fetched.
            files.DataCorrupt: a file's checksum is wrong, or its sizes are not as published.
        """
        (visible,) = self.shape
        if self.files == (self.copy,):
            found = files.arrays(self.copy)
            parts = [found[f"x_{part}"] for part in ("train", "valid", "test")]
        else:
            parts = [
                (read_libsvm if name.endswith(".libsvm") else read_dense)(name, visible)
                for name in self.files
            ]
        shapes = [part.shape for part in parts]
        if shapes != [(size, visible) for size in self.sizes]:
            expected = f"{self.sizes} points of {visible} units expected, {shapes} found"
            raise files.DataCorrupt(f"{', '.join(self.files)}: {expected}")
        train, validation, test = (_tensor(part) for part in parts)
        pool = torch.cat([train, validation])
        return cut(Points(pool), Points(test), validation=len(validation))


def _tensor(values: UInt8[np.ndarray, "n d"]) -> UInt8[Tensor, "n d"]:
    return torch.from_numpy(np.ascontiguousarray(values))


def _three(pattern: str) -> tuple[str, ...]:
    return tuple(f"uci_binary/{pattern.format(part)}" for part in ("train", "valid", "test"))


class Adult(_BinarySet):
    """Census records, 123 units (LIBSVM's a5a): 5000/1414/26147.

    Args:
        pixels: fixed; the set is binary by nature.
    """

    shape = (123,)
    published = _three("a5a_{}.libsvm")
    copy = "uci_binary/adult_full.npz"
    sizes = (5000, 1414, 26147)


class Connect4(_BinarySet):
    """Positions of the game, 126 units: 16000/4000/47557.

    Args:
        pixels: fixed; the set is binary by nature.
    """

    shape = (126,)
    published = _three("connect-4_{}.libsvm")
    copy = "uci_binary/connect4_full.npz"
    sizes = (16000, 4000, 47557)


class DNA(_BinarySet):
    """Splice junctions, 180 units: 1400/600/1186.

    Args:
        pixels: fixed; the set is binary by nature.
    """

    shape = (180,)
    published = _three("dna_scale_{}.libsvm")
    copy = "uci_binary/dna_nade_cut.npz"
    sizes = (1400, 600, 1186)


class Mushrooms(_BinarySet):
    """Descriptions of mushrooms, 112 units: 2000/500/5624.

    Args:
        pixels: fixed; the set is binary by nature.
    """

    shape = (112,)
    published = _three("mushrooms_{}.libsvm")
    copy = "uci_binary/mushrooms.npz"
    sizes = (2000, 500, 5624)


class NIPS(_BinarySet):
    """Words in papers of NIPS 0 to 12, 500 units: 400/100/1240.

    Args:
        pixels: fixed; the set is binary by nature.
    """

    shape = (500,)
    published = _three("nips-0-12_all_shuffled_bidon_target_{}.amat")
    copy = "uci_binary/nips.npz"
    sizes = (400, 100, 1240)


class RCV1(_BinarySet):
    """Words in news stories, 150 units: 40000/10000/150000.

    Args:
        pixels: fixed; the set is binary by nature.
    """

    shape = (150,)
    published = _three("rcv1_all_subset.binary_{}_voc_150.amat")
    sizes = (40000, 10000, 150000)


class Web(_BinarySet):
    """Words in web pages, 300 units (LIBSVM's w6a): 14000/3188/32561.

    Args:
        pixels: fixed; the set is binary by nature.
    """

    shape = (300,)
    published = _three("w6a_{}.libsvm")
    sizes = (14000, 3188, 32561)


class WebCopy(_BinarySet):
    """Web, read from a copy of all 49749 points that lost the published split.

    A permutation that comes with the copy gives a split of the same sizes.

    Args:
        pixels: fixed; the set is binary by nature.
    """

    shape = (300,)
    copy = "uci_binary/web_w8a.npz"
    sizes = (14000, 3188, 32561)
    departs = "a random split of the published sizes"

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed.

        Raises:
            DataMissing: the file is unavailable.
            files.DataCorrupt: the file's checksum is wrong, or its sizes differ.
        """
        found = files.arrays(self.copy)
        values = found["x"][found["order"]]
        if values.shape != (sum(self.sizes), *self.shape):
            raise files.DataCorrupt(f"{self.copy}: {values.shape} found")
        pool, test = np.split(values, [sum(self.sizes[:2])])
        return cut(Points(_tensor(pool)), Points(_tensor(test)), validation=self.sizes[1])
