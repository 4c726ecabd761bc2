"""Generated tags against rankings made by hand."""

import numpy as np
import pytest
import torch

from hwbench.evaluators.tags import GeneratedTags
from hwbench.models.multimodal import MultimodalDBN
from hwbench.protocols import Counts, PairedTestSplit, TestSplit

NAMES = ("sea", "sky", "sun", "cat")


class Fixed(MultimodalDBN):
    """Generates the words in the order of the image's inputs."""

    def generate(self, x):
        return x[:, :4]


def points(text):
    images = torch.tensor([[4.0, 3, 2, 1], [1, 2, 3, 4], [1, 1, 1, 1]])
    return PairedTestSplit(values=images, text=Counts.of(torch.tensor(text)), word_names=NAMES)


@pytest.fixture(scope="module")
def model():
    return Fixed(8, 3, 4, [2, 2], [2, 2], 2)


def test_metrics_and_lists(model):
    """True words at ranks 1 and 3 of the first; the second has none; the third's are all tied."""
    split = points([[1, 0, 2, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
    found = GeneratedTags(lists=8, least=2)(model, split, seed=0)
    tied = np.mean([1, 1 / 2, 1 / 3, 1 / 4])
    assert found.metrics["tag_map"].value == pytest.approx(((1 + 2 / 3) / 2 + tied) / 2)
    assert found.metrics["recall_at_10"].value == 1.0
    assert found.metrics["tag_map"].n == 2
    lines = {
        name: [bytes(row.tolist()).rstrip(b"\0").decode() for row in array]
        for name, array in found.per_point.items()
    }
    assert lines == {
        "number": ["0", "2"],
        "given": ["sea, sun", "sky"],
        "generated": ["sea, sky", "sea, sky"],
    }


def test_bad_input_is_named(model):
    with pytest.raises(ValueError, match="none of the 3 texts has words"):
        GeneratedTags()(model, points([[0] * 4] * 3), seed=0)
    with pytest.raises(ValueError, match="images with texts are needed; found a TestSplit"):
        GeneratedTags()(model, TestSplit(torch.zeros(2, 8)), seed=0)
