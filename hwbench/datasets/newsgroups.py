"""Word counts of texts: 20 Newsgroups and synthetic texts."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from hwbench.datasets import files
from hwbench.datasets.real import only_grey
from hwbench.numerics import generator
from hwbench.protocols import (
    Dataset,
    Pixels,
    Splits,
    TestSplit,
    TrainSplit,
    ValidationSplit,
    check_counts,
    draw_words,
)

FILE = "text/newsgroups20_w1000.npz"


def dense_counts(found: dict[str, np.ndarray], part: str, words: int) -> Tensor:
    """Return counts [N, V] from the sparse rows `<part>_indptr`, `_indices` and `_counts`.

    Raises:
        files.DataCorrupt: the arrays are inconsistent, or are not counts.
    """
    from scipy.sparse import csr_matrix

    indptr, indices, counts = (found[f"{part}_{key}"] for key in ("indptr", "indices", "counts"))
    try:
        rows = csr_matrix((counts.astype(np.float32), indices, indptr), (len(indptr) - 1, words))
        rows.check_format()
        values = torch.from_numpy(rows.toarray())
        check_counts(values)
    except ValueError as error:
        raise files.wrong(FILE, f"{part}: {error}") from None
    return values


class Newsgroups20(Dataset):
    """20 Newsgroups (Lang, 1995): 11256 and 7489 texts as counts of 1000 stems, in 20 classes.

    The file defines the training and test texts. Validation texts are drawn from the training
    texts, the same for every seed.

    Args:
        pixels: grey; values are counts.
        validation: number of validation texts.
    """

    shape = (1000,)
    classes = 20
    files = (FILE,)

    def __init__(
        self, pixels: Pixels = "grey", validation: Annotated[int, Field(ge=0, le=5000)] = 1000
    ) -> None:
        only_grey(pixels, "Newsgroups20")
        self.pixels, self.validation = pixels, validation

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed.

        Raises:
            DataMissing: the file is not on this machine.
            files.DataCorrupt: its checksum is wrong.
        """
        found = files.arrays(FILE)
        pool, test = (dense_counts(found, part, *self.shape) for part in ("train", "test"))
        labels, of_test = (torch.from_numpy(found[f"y_{p}"]).long() for p in ("train", "test"))
        order = torch.randperm(len(pool), generator=generator(0, "Newsgroups20", "validation"))
        last, first = order[: self.validation].sort()[0], order[self.validation :].sort()[0]
        validation = ValidationSplit(pool[last], labels[last]) if self.validation else None
        return Splits(TrainSplit(pool[first], labels[first]), validation, TestSplit(test, of_test))


class TopicTexts(Dataset):
    """Texts from latent Dirichlet allocation with four topics, for smoke runs.

    The word probabilities of a topic, over 60 words, and the topic proportions of a text are drawn
    from Dirichlet(0.1). A text has 20 to 60 words; its class is its largest topic. There are
    400/100/200 texts for training, validation and testing, the same for every seed.

    Args:
        pixels: grey; values are counts.
    """

    shape = (60,)
    classes = 4

    def __init__(self, pixels: Pixels = "grey") -> None:
        only_grey(pixels, "TopicTexts")
        self.pixels = pixels

    def load(self, seed: int) -> Splits:
        """Return the splits."""
        draws = np.random.default_rng(20)
        (words,), n = self.shape, 700
        topics = draws.dirichlet(np.full(words, 0.1), self.classes)
        shares = draws.dirichlet(np.full(self.classes, 0.1), n)
        logits = torch.from_numpy(np.log(shares @ topics + 1e-12)).float()
        lengths = torch.from_numpy(draws.integers(20, 61, n)).float()
        x = draw_words(logits, lengths, 60, generator(0, "TopicTexts"))
        labels = torch.from_numpy(shares.argmax(1))
        return Splits(
            TrainSplit(x[:400], labels[:400]),
            ValidationSplit(x[400:500], labels[400:500]),
            TestSplit(x[500:], labels[500:]),
        )
