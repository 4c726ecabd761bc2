"""Images with tags and several labels: MIR-Flickr, SUN 09 and synthetic pairs."""

# Dims: N pairs, D inputs of an image, V words (tags), L labels, C binary causes.

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Sequence
from typing import Annotated, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Integer, Shaped
from pydantic import Field
from torch import Tensor

from hwbench.datasets import files
from hwbench.datasets.real import only_grey
from hwbench.numerics import generator
from hwbench.protocols import (
    Counts,
    Dataset,
    PairedTestSplit,
    PairedTrainSplit,
    PairedValidationSplit,
    Pairs,
    PartlyLabelledPairs,
    Pixels,
    Splits,
    draw_words,
)

ARCHIVE = "flickr/flickr_data.tar.gz"
SCENES = "multimodal/sun09.npz"
P = TypeVar("P", bound=Pairs)
NO_DETECTION = (0.0, -1.818)  # values that mark a missing detection


class Points(NamedTuple):
    """Pairs as read: images [N, D] float32, word counts, and labels [N, L] as Booleans or None."""

    images: Tensor
    text: Counts
    targets: Tensor | None


def standardised(images: Float[Tensor, "n d"], *others: Tensor) -> list[Tensor]:
    """Return images with each input standardised, and `others` shifted and scaled in the same way.

    Raises:
        ValueError: an input is constant; the message gives its index.
    """
    mean, deviation = images.double().mean(0), images.double().std(0, correction=0)
    constant = (deviation == 0).nonzero()
    if len(constant):
        raise ValueError(
            f"input {int(constant[0])} of the images has the variance zero over the training points"
        )
    return [((x - mean.float()) / deviation.float()) for x in (images, *others)]


def check_cut(parts: dict[str, Integer[np.ndarray, " i"]], n: int) -> None:
    """Reject index arrays that do not partition n points.

    Raises:
        ValueError: they overlap or leave out a point.
    """
    together = np.concatenate(list(parts.values()))
    sizes = ", ".join(f"{len(index)} {part}" for part, index in parts.items())
    if len(np.unique(together)) < len(together):
        raise ValueError(f"splits overlap: {sizes} points of {n}")
    if not np.array_equal(np.sort(together), np.arange(n)):
        raise ValueError(f"splits do not cover the points: {sizes} points of {n}")


def binary_labels(labels: Shaped[np.ndarray, "n l"]) -> Tensor:
    """Return labels as Booleans.

    Raises:
        ValueError: a label is neither 0 nor 1.
    """
    if not np.isin(labels, (0, 1)).all():
        found = labels[~np.isin(labels, (0, 1))][0]
        raise ValueError(f"labels must be 0 or 1; found {found}")
    return torch.from_numpy(labels.astype(bool))


def part_of(
    kind: type[P],
    points: Points,
    index: Tensor,
    labels: tuple[str, ...],
    words: tuple[str, ...],
) -> P:
    """Return the points at `index` as a split of this kind."""
    assert points.targets is not None
    return kind(
        values=points.images[index],
        text=points.text.select(index),
        targets=points.targets[index],
        label_names=labels,
        word_names=words,
    )


def three_parts(
    points: Points, index: Sequence[Tensor], labels: tuple[str, ...], words: tuple[str, ...]
) -> Splits:
    """Return points as splits for training, validation and testing."""
    first, second, third = index
    return Splits(
        part_of(PairedTrainSplit, points, first, labels, words),
        part_of(PairedValidationSplit, points, second, labels, words),
        part_of(PairedTestSplit, points, third, labels, words),
    )


class SUN09(Dataset):
    """Scenes of SUN 09 (Choi et al., 2010): 4367 images for training, 4317 for testing.

    An image consists of the standardised scores of 111 object detectors. The 38 objects most
    frequent in the training images are labels, and the other 73 are tags (1.06 per image; 43 % of
    images have none). A missing detection, which the file marks by 0 or −1.818, is set to −1.818.

    Args:
        pixels: grey; values are real.
        validation: number of training images used for validation, the same for all seeds.
        sift: ignored; accepted because specs set it for MIR-Flickr.
        unlabelled: ignored, because all images have labels.
    """

    shape = (111 + 73,)
    classes = 38
    files = (SCENES,)

    def __init__(
        self,
        pixels: Pixels = "grey",
        validation: Annotated[int, Field(ge=1, le=2000)] = 867,
        sift: bool = True,
        unlabelled: bool = True,
    ) -> None:
        only_grey(pixels, "SUN09")
        self.pixels, self.validation = pixels, validation

    def load(self, seed: int) -> Splits:
        """Return the splits, the same for every seed.

        Raises:
            DataMissing: the file is not on this machine.
            files.DataCorrupt: its checksum is wrong.
        """
        found = files.arrays(SCENES)
        names, seen = found["names"].tolist(), found["presence_train"]
        order = np.argsort(-seen.sum(0), kind="stable")
        labels, tags = order[: self.classes], order[self.classes :]
        names_of = [tuple(names[i] for i in which) for which in (labels, tags)]
        read = {}
        for part in ("train", "test"):
            scores, present = found[f"scores_{part}"], found[f"presence_{part}"]
            scores = np.where(
                np.isin(scores, np.array(NO_DETECTION, np.float32)), NO_DETECTION[1], scores
            )
            images = torch.from_numpy(scores.astype(np.float32))
            text = Counts.of(torch.from_numpy(present[:, tags].astype(np.int64)))
            read[part] = Points(images, text, binary_labels(present[:, labels]))
        draws = generator(0, "SUN09", "validation")
        drawn = torch.randperm(len(seen), generator=draws)
        last, first = drawn[: self.validation].sort()[0], drawn[self.validation :].sort()[0]
        images = read["train"].images
        scaled = standardised(images[first], images, read["test"].images)
        train, test = (read[p]._replace(images=x) for p, x in zip(read, scaled[1:], strict=True))
        every = torch.arange(len(test.images))
        return Splits(
            part_of(PairedTrainSplit, train, first, *names_of),
            part_of(PairedValidationSplit, train, last, *names_of),
            part_of(PairedTestSplit, test, every, *names_of),
        )


class PairedTopics(Dataset):
    """Synthetic pairs with known causes, for smoke runs: 60 image inputs, 50 words, 6 labels.

    The labels are six binary causes, each on with probability 0.3. Two act on both parts, two on
    the image alone, and two on the text alone. An image is Σ_c cause_c A_c + noise, standardised,
    with A_ci ~ N(0, 1/25) and noise ~ N(0, 1). A text has five words, drawn with the logits
    Σ_c cause_c B_ck, B_ck ~ N(0, 1). One text in five has no words. There are 400/100/200 pairs for
    training, validation and testing, the same for every seed.

    Args:
        pixels: grey; values are real.
        sift: ignored; accepted because specs set it for MIR-Flickr.
        unlabelled: ignored, because all pairs have labels.
    """

    shape = (60 + 50,)
    classes = 6
    rate, words, missing = 0.3, 5, 0.2

    def __init__(self, pixels: Pixels = "grey", sift: bool = True, unlabelled: bool = True) -> None:
        only_grey(pixels, "PairedTopics")
        self.pixels = pixels

    def parameters(self) -> tuple[Float[Tensor, "c d"], Float[Tensor, "c v"]]:
        """Return A and B; a cause without an effect on a part has a row of zeros."""
        draws = generator(0, "PairedTopics", "parameters")
        image = 0.2 * torch.randn(6, 60, generator=draws)
        text = torch.randn(6, 50, generator=draws)
        image[4:], text[2:4] = 0, 0
        return image, text

    def raw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the unstandardised images, the counts and the causes of all 700 pairs."""
        draws, n = generator(0, "PairedTopics", "pairs"), 700
        causes = (torch.rand(n, 6, generator=draws) < self.rate).float()
        of_image, of_text = self.parameters()
        images = causes @ of_image + torch.randn(n, 60, generator=draws)
        lengths = self.words * (torch.rand(n, generator=draws) >= self.missing).float()
        return images, draw_words(causes @ of_text, lengths, self.words, draws), causes

    def posterior(self, images: Float[Tensor, "n d"], text: Float[Tensor, "n v"]) -> Tensor:
        """Return p(cause | image, text) of each cause, [N, C], by enumerating all 64 states."""
        of_image, of_text = self.parameters()
        every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 6)
        on = torch.tensor(self.rate).logit()
        distance = torch.cdist(images.double(), (every @ of_image).double()).square()
        log_p = (
            every.sum(1) * on
            - distance / 2
            + text.double() @ ((every @ of_text).double().log_softmax(1).t())
        )
        return log_p.softmax(1) @ every.double()

    def load(self, seed: int) -> Splits:
        """Return the splits."""
        images, counts, causes = self.raw()
        (_, scaled) = standardised(images[:400], images)
        points = Points(scaled, Counts.of(counts), causes.bool())
        names = ("both 1", "both 2", "image 1", "image 2", "text 1", "text 2")
        words = tuple(f"word {i}" for i in range(50))
        return three_parts(points, torch.arange(700).split([400, 100, 200]), names, words)


class MIRFlickr(Dataset):
    """MIR-Flickr (Huiskes & Lew, 2008) as released by Srivastava: features, tags and 38 labels.

    An image consists of 3857 standardised features: a bag of 2000 SIFT words, then GIST and MPEG-7
    features. A text consists of the counts of the 2000 most frequent tags. 25 000 pairs have
    labels. Seed r uses split number r of the archive, in order of name; if the archive has no
    splits, a seeded permutation divides the labelled pairs into 10 000/5000/10 000.

    The archive has no known checksum, so the user provides it and its content is checked:
    image/{labelled,unlabelled}/*.npy in parts, text/*{labelled,unlabelled}.npz (sparse rows as
    data, indices, indptr, shape), labels/labels.npy, splits/*_indices_r.npy (train, valid and
    test) and, optionally, text/vocabulary.txt.

    Args:
        pixels: grey; values are real.
        sift: keep the 2000 SIFT features.
        unlabelled: also train on the 975 000 pairs without labels.
    """

    classes = 38
    files = (ARCHIVE,)
    features, vocabulary, bag = 3857, 2000, 2000

    def __init__(self, pixels: Pixels = "grey", sift: bool = True, unlabelled: bool = True) -> None:
        only_grey(pixels, "MIRFlickr")
        self.pixels, self.sift, self.unlabelled = pixels, sift, unlabelled
        self.shape = (self.features - (0 if sift else self.bag) + self.vocabulary,)

    def load(self, seed: int) -> Splits:
        """Return the splits.

        Raises:
            DataMissing: the archive is not on this machine.
            files.DataCorrupt: its content is not as described.
        """
        try:
            with tarfile.open(files.fetch(ARCHIVE)) as archive:
                return self._read(archive, seed)
        except (tarfile.TarError, EOFError, KeyError, ValueError) as error:
            raise files.wrong(ARCHIVE, error) from None

    def _read(self, archive: tarfile.TarFile, seed: int) -> Splits:
        names = sorted(m.name for m in archive.getmembers() if m.isfile())
        labelled = self._points(archive, names, "labelled")
        raw = _array(archive, _only(names, r"(^|/)labels/labels\.npy$"))
        if len(raw) != len(labelled.images) or raw.shape[1:] != (self.classes,):
            raise ValueError(f"labels {raw.shape} for {len(labelled.images)} images")
        labelled = labelled._replace(targets=binary_labels(raw))
        cut = _cut(archive, names, len(raw), seed)
        check_cut(cut, len(raw))
        index = [
            torch.from_numpy(cut[part].astype(np.int64)) for part in ("train", "valid", "test")
        ]
        found = [m for m in names if re.search(r"(^|/)text/vocabulary\.txt$", m)]
        words = tuple(_bytes(archive, found[0]).decode().split()) if found else ()
        if not found:
            words = tuple(f"tag {i}" for i in range(self.vocabulary))
        of_labels = tuple(f"class {i + 1}" for i in range(self.classes))
        if not self.unlabelled:
            (_, images) = standardised(labelled.images[index[0]], labelled.images)
            return three_parts(labelled._replace(images=images), index, of_labels, words)
        more = self._points(archive, names, "unlabelled")
        every = torch.cat([labelled.images[index[0]], more.images])
        every, images = standardised(every, labelled.images)
        own = three_parts(labelled._replace(images=images), index, of_labels, words)
        text = _joined(labelled.text.select(index[0]), more.text)
        together = PartlyLabelledPairs(
            values=every,
            text=text,
            word_names=words,
            labelled=own.train,
        )
        return own._replace(train=together)

    def _points(self, archive: tarfile.TarFile, names: list[str], which: str) -> Points:
        """Return the pairs with or without labels."""
        parts = [m for m in names if re.search(rf"(^|/)image/{which}/[^/]*\.npy$", m)]
        if not parts:
            raise ValueError(f"no image features image/{which}/*.npy")
        images = np.concatenate([_array(archive, m) for m in parts])
        if images.ndim != 2 or images.shape[1] != self.features:
            raise ValueError(f"image features {images.shape}; expected {self.features} for each")
        kept = images if self.sift else images[:, self.bag :]
        text = _rows(archive, _only(names, rf"(^|/)text/([^/]*_)?{which}\.npz$"), self.vocabulary)
        if len(text.indptr) - 1 != len(images):
            raise ValueError(f"{len(images)} {which} images and {len(text.indptr) - 1} texts")
        return Points(torch.from_numpy(kept.astype(np.float32)), text, None)


def _bytes(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None
    return member.read()


def _array(archive: tarfile.TarFile, name: str) -> np.ndarray:
    found: np.ndarray = np.load(io.BytesIO(_bytes(archive, name)), allow_pickle=False)
    return found


def _only(names: list[str], pattern: str) -> str:
    """Return the only name that matches a pattern."""
    found = [name for name in names if re.search(pattern, name)]
    if len(found) != 1:
        raise ValueError(f"expected one file {pattern}; found {', '.join(found) or 'none'}")
    return found[0]


def _rows(archive: tarfile.TarFile, name: str, vocabulary: int) -> Counts:
    """Return the counts in a file of sparse rows."""
    from scipy.sparse import csr_matrix

    with np.load(io.BytesIO(_bytes(archive, name)), allow_pickle=False) as found:
        data, indices, indptr = (found[key] for key in ("data", "indices", "indptr"))
        shape = tuple(int(n) for n in found["shape"])
    if len(shape) != 2 or shape[1] != vocabulary:
        raise ValueError(f"{name}: counts {shape}; expected {vocabulary} words for each text")
    rows = csr_matrix((data, indices, indptr), shape)
    rows.check_format()
    rows.sum_duplicates()
    rows.eliminate_zeros()
    if (rows.data < 0).any() or (rows.data != np.round(rows.data)).any():
        raise ValueError(f"{name}: counts of words must be whole numbers from 0")
    return Counts(
        torch.from_numpy(rows.indptr.astype(np.int64)),
        torch.from_numpy(rows.indices.astype(np.int64)),
        torch.from_numpy(rows.data.astype(np.float32)),
        vocabulary,
    )


def _joined(a: Counts, b: Counts) -> Counts:
    """Return the rows of `a`, then those of `b`."""
    return Counts(
        torch.cat([a.indptr, a.indptr[-1] + b.indptr[1:]]),
        torch.cat([a.words, b.words]),
        torch.cat([a.counts, b.counts]),
        a.vocabulary,
    )


def _cut(
    archive: tarfile.TarFile, names: list[str], n: int, seed: int
) -> dict[str, Integer[np.ndarray, " i"]]:
    """Return the indices of the training, validation and test points at a seed."""
    parts = ("train", "valid", "test")
    found = {
        part: [m for m in names if re.search(rf"(^|/)splits/{part}_indices_\d+\.npy$", m)]
        for part in parts
    }
    if any(found.values()):
        if any(len(members) <= seed for members in found.values()):
            sizes = ", ".join(f"{len(members)} of {part}" for part, members in found.items())
            raise ValueError(f"no split for seed {seed}: there are {sizes}")
        return {part: _array(archive, found[part][seed]) for part in parts}
    order = torch.randperm(n, generator=generator(seed, "MIRFlickr", "splits")).numpy()
    first, second = round(0.4 * n), round(0.6 * n)
    return dict(zip(parts, np.split(order, [first, second]), strict=True))
