"""MNIST, with grey pixels in every presentation or with the published fixed binarisation."""

from __future__ import annotations

import struct
from typing import Annotated

import numpy as np
import torch
from jaxtyping import UInt8
from pydantic import Field

from hwbench.datasets import files
from hwbench.datasets.images import Points, cut, present
from hwbench.protocols import Dataset, Pixels, Splits


def read_idx(name: str) -> UInt8[np.ndarray, " ..."]:
    """Return the array of unsigned bytes in an idx file (LeCun's format: sizes, then values).

    Raises:
        DataMissing: the file is unavailable.
        files.DataCorrupt: its format or its checksum is wrong.
    """
    raw = files.read(name)
    rank = raw[3] if raw[:3] == b"\0\0\x08" and len(raw) > 3 else 0  # 8: unsigned bytes
    if rank == 0 or len(raw) < 4 + 4 * rank:
        raise files.wrong(name, "no idx file of unsigned bytes")
    shape = struct.unpack_from(f">{rank}I", raw, 4)
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank)
    if len(values) != np.prod(shape):
        raise files.wrong(name, f"{len(values)} values where {shape} are announced")
    return values.reshape(shape).copy()


def read_amat(name: str, visible: int) -> UInt8[np.ndarray, "n d"]:
    """Return the points [N, D] in a text file of zeros and ones, each followed by one byte.

    Raises:
        DataMissing: the file is unavailable.
        files.DataCorrupt: its format or its checksum is wrong.
    """
    raw = np.frombuffer(files.read(name), np.uint8)
    values = raw[0::2] - ord("0")
    if len(raw) == 0 or len(raw) % (2 * visible) or values.max() > 1:
        raise files.wrong(name, f"not lines of {visible} zeros and ones")
    return values.reshape(-1, visible)


class MNIST(Dataset):
    """Handwritten digits 28x28, 60000 for training and validation, 10000 for testing (LeCun, 1998).

    `fixed` pixels are the published binarisation (Salakhutdinov and Murray, 2008), in the files of
    Larochelle and Murray (2011): 50000/10000/10000 and no labels. Its test rows are sorted by class
    (the first 980 are all zeros), so a subset of them must be drawn at random. Its training rows
    are in a different order than MNIST's, so its validation points differ.

    Args:
        pixels: fixed, dynamic, grey or threshold (see `images.present`).
        validation: number of images at the end of the training images that are for validation, 0
            for none. The default is 400, as in the code of Burda et al. (2016), and 10000 with
            `fixed` pixels.
    """

    shape = (28, 28)

    def __init__(
        self,
        pixels: Pixels,
        validation: Annotated[int, Field(ge=0, lt=60000)] | None = None,
    ) -> None:
        self.pixels = pixels
        self.validation = validation
        if pixels == "fixed":
            parts = ("train", "valid", "test")
            self.files = tuple(f"binarized_mnist/binarized_mnist_{part}.amat" for part in parts)
        else:
            self.classes = 10
            kinds = ("images-idx3", "labels-idx1")
            self.files = tuple(f"mnist/{p}-{k}-ubyte" for p in ("train", "t10k") for k in kinds)

    @classmethod
    def tiny(cls) -> MNIST:
        """Return an instance for the law tests."""
        return cls(pixels="dynamic")

    def load(self, seed: int) -> Splits:
        """Return the splits; `seed` determines the draws of `dynamic` pixels.

        Raises:
            DataMissing: a file is not on this machine and cannot be fetched.
            files.DataCorrupt: a file's checksum is wrong.
        """
        if self.pixels == "fixed":
            parts = [torch.from_numpy(read_amat(name, 784)) for name in self.files]
            validation = len(parts[1]) if self.validation is None else self.validation
            return cut(Points(torch.cat(parts[:2])), Points(parts[2]), validation=validation)
        images, labels, *test = (torch.from_numpy(read_idx(name)) for name in self.files)
        return present(
            "MNIST",
            Points(images.flatten(1), labels.long()),
            Points(test[0].flatten(1), test[1].long()),
            pixels=self.pixels,
            validation=400 if self.validation is None else self.validation,
            seed=seed,
        )
