"""OCR letters: handwritten letters 16x8."""

from __future__ import annotations

import hashlib
import random
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from pydantic import Field

from hwbench.datasets import files
from hwbench.datasets.images import Points, cut, only_fixed
from hwbench.protocols import Dataset, Pixels, Splits

TABLE = "ocr_letters/letter.data"
COPY = "ocr_letters/ocr_letters.npz"
_TEST = 10000
# The table's own checksum is unknown; this is the sha256 of its rows (128 pixels and the label) in
# ascending order.
CONTENT = "81b368549646eb8f759eb9a5d26bab825968f3cc25d377a49d1fe40d724faebd"


def shuffled(n: int) -> Integer[np.ndarray, " n"]:
    """Return the order of the table's n lines after shuffling by Larochelle's MLPython.

    It is `random.shuffle` of Python 2 after `random.seed(12345)`; Python 3's differs.
    """
    draws = random.Random(12345)
    order = list(range(n))
    for i in reversed(range(1, n)):
        j = int(draws.random() * (i + 1))
        order[i], order[j] = order[j], order[i]
    return np.array(order)


def read_table(raw: bytes) -> tuple[UInt8[np.ndarray, "n d"], UInt8[np.ndarray, " n"]]:
    """Return pixels [N, 128] and labels [N] of the original table.

    A line contains id, letter, next id, word, position, fold and 128 pixels, separated by tabs.

    Raises:
        files.DataCorrupt: its format is wrong.
    """
    cells = [line.rstrip().split(None, 6) for line in raw.splitlines()]
    if not cells or any(len(c) != 7 or len(c[1]) != 1 or len(c[6]) != 255 for c in cells):
        raise files.wrong(TABLE, "not lines of 6 + 128 cells")
    x = np.frombuffer(b"\t".join([*(c[6] for c in cells), b""]), np.uint8)[0::2] - ord("0")
    y = np.frombuffer(b"".join(c[1] for c in cells), np.uint8) - ord("a")
    if x.max() > 1 or y.max() > 25:
        raise files.wrong(TABLE, "pixels other than 0 and 1, or letters beyond a to z")
    return x.reshape(-1, 128), y


def content(x: UInt8[np.ndarray, "n d"], y: UInt8[np.ndarray, " n"]) -> str:
    """Return the sha256 of the labelled points, independent of their order."""
    rows = np.ascontiguousarray(np.column_stack([x, y]))
    return hashlib.sha256(np.sort(rows.view(f"V{rows.shape[1]}"), axis=None).tobytes()).hexdigest()


class OCRLetters(Dataset):
    """52152 handwritten letters a to z, 16x8 binary (Kassel, 1995; Taskar et al., 2003).

    The split is that of Larochelle, Bengio and Turian (2010): 32152 for training, 10000 for
    validation, 10000 for testing. It is made from the original table, or read from a copy. In the
    copy, training points are in another order, and a few labels of letters with identical pixels
    (about 1 % of the test points) are interchanged.

    Args:
        pixels: fixed; the set is binary by nature.
        validation: number of validation points; with fewer than 10000, the others train.
    """

    shape = (16, 8)
    classes = 26

    def __init__(
        self, pixels: Pixels = "fixed", validation: Annotated[int, Field(ge=0, le=10000)] = 10000
    ) -> None:
        only_fixed(pixels, "OCRLetters")
        self.pixels = pixels
        self.validation = validation

    @property
    def files(self) -> tuple[str, ...]:  # type: ignore[override]
        """Return the table or the copy, whichever is on this machine."""
        return files.either((TABLE,), (COPY,))

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed.

        Raises:
            DataMissing: neither file is on this machine and the table cannot be fetched.
            files.DataCorrupt: a file's checksum is wrong.
        """
        if self.files == (COPY,):
            found = files.arrays(COPY)
            x, y = found["x"], found["y"]
            order = np.concatenate([found[f"idx_{part}"] for part in ("train", "valid", "test")])
        else:
            x, y = read_table(files.read(TABLE))
            order = shuffled(len(x))
            if (sha256 := content(x, y)) != CONTENT:
                expected = f"sha256 of its sorted rows {CONTENT} expected, {sha256} found"
                raise files.wrong(TABLE, expected)
        values, labels = torch.from_numpy(x[order]), torch.from_numpy(y[order]).long()
        pool = Points(values[:-_TEST], labels[:-_TEST])
        test = Points(values[-_TEST:], labels[-_TEST:])
        return cut(pool, test, validation=self.validation)
