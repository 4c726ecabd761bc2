"""What is known of the real files; skipped where they are not on this machine."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwbench.datasets import files, mnist, ocr, omniglot, silhouettes, uci

pytestmark = pytest.mark.data

TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_files_on_this_machine_are_the_declared_ones():
    wrong = [r for r in files.verify() if r.state == "corrupt"]
    assert not wrong


def test_mnist_classes(needs):
    dataset = mnist.MNIST("grey", validation=0)
    needs(*dataset.files)
    splits = dataset.load(0)
    assert torch.bincount(splits.train.labels).tolist() == TRAIN
    assert torch.bincount(splits.test.labels).tolist() == TEST


def test_mnist_is_upright(needs):
    """The mean of all ones is taller than wide, and the first labels are those everyone knows."""
    dataset = mnist.MNIST("grey")
    needs(*dataset.files)
    splits = dataset.load(0)
    assert splits.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    ones = splits.train.values[splits.train.labels == 1].double().mean(0).reshape(28, 28)
    assert (ones.sum(0) > 300).sum() < (ones.sum(1) > 300).sum()  # tall and narrow
    assert len(splits.train) == 59600
    assert splits.train.values.double().mean() / 255 == pytest.approx(0.1307, abs=1e-3)


def test_binarised_mnist_means(needs):
    dataset = mnist.MNIST("fixed")
    needs(*dataset.files)
    splits = dataset.load(0)
    assert [len(p) for p in splits] == [50000, 10000, 10000]
    means = [round(p.values.double().mean().item(), 6) for p in splits]
    assert means == [0.130562, 0.131127, 0.132512]


def test_binarised_test_rows_stand_in_the_order_of_classes(needs):
    """Row i is a draw of the i-th test image in a stable sort by label: no pixel is impossible."""
    fixed, grey = mnist.MNIST("fixed"), mnist.MNIST("grey")
    needs(*fixed.files, *grey.files)
    drawn, images = fixed.load(0).test.values, grey.load(0).test
    order = torch.argsort(images.labels, stable=True)
    possible = images.values[order]
    assert not ((drawn == 1) & (possible == 0)).any()
    assert not ((drawn == 0) & (possible == 255)).any()
    assert ((drawn == 1) & (images.values == 0)).any()  # in the order of the file there are some


def test_drawings(needs):
    dataset = omniglot.OmniglotDrawings("grey")
    needs(*dataset.files)
    splits = dataset.load(0)
    assert [len(p) for p in splits] == [23000, 1345, 8070]  # those of chardata.mat
    assert splits.train.means().mean().item() == pytest.approx(0.0808, abs=5e-4)


def test_omniglot(needs):
    dataset = omniglot.Omniglot("grey")
    needs(*dataset.files)
    assert [len(p) for p in dataset.load(0)] == [23000, 1345, 8070]


def test_silhouettes(needs):
    dataset = silhouettes.CalTech101()
    needs(*dataset.files)
    splits = dataset.load(0)
    assert [len(p) for p in splits] == [4100, 2264, 2307]
    assert splits.train.means().mean().item() == pytest.approx(0.4489, abs=5e-4)
    edges = splits.train.values.reshape(-1, 28, 28)[:, 0].float().mean()
    assert edges < 0.25  # background lies around the shapes


def test_letters(needs):
    needs(ocr.COPY)
    found = files.arrays(ocr.COPY)
    assert ocr.content(found["x"], found["y"]) == ocr.CONTENT
    splits = ocr.OCRLetters().load(0)
    assert [len(p) for p in splits] == [32152, 10000, 10000]
    counts = torch.bincount(torch.cat([p.labels for p in splits]), minlength=26)
    assert counts.tolist() == np.bincount(found["y"], minlength=26).tolist()
    ours = np.sort(np.concatenate([found[f"idx_{p}"] for p in ("train", "valid", "test")]))
    assert np.array_equal(ours, np.arange(52152))


def test_the_shuffle_of_the_table_gives_the_copys_split(needs):
    """Letters that are neighbours in a word are neighbours in the table.

    So where two successive places of the shuffled table both hold validation or test points, the
    copy's rows there must be successive too, but for its interchanged twins; at a wrong shuffle
    they hardly ever are.
    """
    needs(ocr.COPY)
    found = files.arrays(ocr.COPY)
    held_out = np.concatenate([found["idx_valid"], found["idx_test"]])

    def neighbours(order: np.ndarray) -> float:
        row = np.full(52152, -1)
        row[order[32152:]] = held_out
        both = (row[:-1] >= 0) & (row[1:] >= 0)
        return float((row[1:] - row[:-1] == 1)[both].mean())

    assert neighbours(ocr.shuffled(52152)) > 0.85
    assert neighbours(np.random.default_rng(0).permutation(52152)) < 0.01


@pytest.mark.parametrize(
    ("cls", "mean"),
    [
        (uci.Mushrooms, 0.1875),
        (uci.NIPS, 0.3678),
        (uci.Adult, 0.1127),
        (uci.DNA, 0.2538),
        (uci.Connect4, 1 / 3),
        (uci.WebCopy, 0.0386),
    ],
)
def test_binary_sets(needs, cls, mean):
    dataset = cls()
    needs(*dataset.files)
    splits = dataset.load(0)
    assert tuple(len(p) for p in splits) == cls.sizes
    assert splits.train.means().mean().item() == pytest.approx(mean, abs=1e-4)
