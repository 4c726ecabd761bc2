"""Accuracies of generated images against a model that paints what its captions say."""

import numpy as np
import pytest
import torch

from hwbench.captions import NOTHING, PLACES, decode, encode, layouts, parse, sentence
from hwbench.datasets.captions import Scenes, paint
from hwbench.evaluators.captions import (
    GeneratedFromCaptions,
    flipped,
    named_right,
    only_the_flip,
)
from hwbench.evaluators.reader import Reader, checksum, load_reader, windows_of
from hwbench.numerics import generator
from hwbench.protocols import TestSplit, TextToImageModel
from hwbench.report.figures.captions import texts_of

N = NOTHING


def test_a_digit_counts_where_the_caption_puts_it():
    wanted = layouts([sentence(0, [1, 2]), sentence(0, [1, 2]), sentence(4, [7])])
    read = torch.full((3, 8), N)
    read[0, 0], read[0, 1] = 1, 3  # one of two
    read[1, 2], read[1, 3] = 1, 2  # both in other places
    read[2, 4], read[2, 5] = 7, 7  # right, and one more that nobody asked for
    assert named_right(read, wanted).tolist() == [0.5, 0.0, 1.0]


def test_a_flip_changes_one_digit_word():
    """To any other digit, in any slot, and the place is that of the word."""
    draws = torch.Generator().manual_seed(0)
    text = sentence(1, [3, 5])  # 3 on the right, 5 on the left
    found = [flipped(text, draws) for _ in range(400)]
    for flip in found:
        template, (a, b) = parse(flip.text)
        assert template == 1
        assert (a != 3) + (b != 5) == 1
        assert PLACES[flip.place] == ("right" if a != 3 else "left")
    assert {parse(flip.text)[1][0] for flip in found if flip.place == 1} == set(range(10)) - {3}
    share = np.mean([flip.place == 1 for flip in found])
    assert abs(share - 0.5) < 5 * 0.5 / 20  # five standard errors


def test_only_the_flip_counts():
    wanted = torch.full((5, 8), N)
    wanted[:, 0], wanted[:, 1] = 4, 2
    place = torch.zeros(5, dtype=torch.long)
    before = torch.tensor([[1, 2], [1, 2], [4, 2], [1, 2], [N, 2]])
    after = torch.tensor([[4, 2], [4, 3], [4, 2], [5, 2], [4, 2]])
    rest = torch.full((5, 6), N)
    found = only_the_flip(torch.cat([before, rest], 1), torch.cat([after, rest], 1), place, wanted)
    # right; the other digit changed, too; nothing changed; another digit; from nothing to right
    assert found.tolist() == [1.0, 0.0, 0.0, 0.0, 1.0]


class Stamps(Reader):
    """Reads digits that are written as a brightness: d / 10 + 0.05, and nothing is black."""

    def read(self, images):
        light = windows_of(images)[..., 7, 7]
        return torch.where(light == 0, N, (10 * light - 0.05).long())


class Painter(TextToImageModel):
    """Paints dots as bright as the digits of a caption, but for one digit that it never paints."""

    words, vocabulary, image = 12, 22, (30, 30)
    wrong = 4

    def __init__(self):
        super().__init__()
        self.visible = 900 + 264

    @classmethod
    def tiny(cls):
        return cls()

    def bound(self, x):
        return -self.parts(x)[0].sum(1)

    def noise(self, n):
        return torch.randn(n)

    def generate(self, captions, noise):
        out = torch.zeros(len(captions), 30, 30)
        for image, row in zip(out, layouts(decode(captions)), strict=True):
            for place, digit in enumerate(row.tolist()):
                if digit != N:
                    top, left = (
                        (7, 0),
                        (7, 14),
                        (0, 7),
                        (14, 7),
                        (0, 0),
                        (14, 14),
                        (0, 14),
                        (14, 0),
                    )[place]
                    shown = 9 if digit == self.wrong else digit
                    image[top + 7, left + 7] = shown / 10 + 0.05
        return out.flatten(1)


@pytest.fixture(scope="module")
def found():
    evaluator = GeneratedFromCaptions(checksum(), pictures=2)
    evaluator.reader = Stamps()
    texts = [sentence(4 + i % 4, [i % 10]) for i in range(40)]
    values = torch.cat([torch.zeros(40, 900), encode(texts).flatten(1)], 1).to(torch.uint8)
    values[:, 0] = 1
    labels = (torch.arange(40) % 10 < 4).long()
    return evaluator(Painter(), TestSplit(values, labels), seed=0)


def test_what_a_painter_who_cannot_do_one_digit_gets(found):
    """Right for nine digits of ten; all of the held-out half, which has 0 to 3."""
    value = {name: metric.value for name, metric in found.metrics.items()}
    assert value["caption_accuracy"] == pytest.approx(0.9)
    assert value["picture_accuracy"] == pytest.approx(0.9)
    assert value["caption_accuracy_held_out"] == 1.0
    assert value["caption_accuracy_seen"] == pytest.approx(20 / 24)
    assert found.metrics["caption_accuracy_seen"].n == 24
    assert value["bound"] == -1.0
    assert found.metrics["bound"].kind == "lower bound"
    assert found.metrics["flip_accuracy"].n == 40
    assert value["flip_accuracy"] == pytest.approx(right_flips())


def right_flips():
    """The new digit is wrong where it is 4, and nothing changes where it is 9 in place of 4."""
    draws = generator(0, "evaluate", "captions", "flips")
    pairs = [(i % 10, flipped(sentence(4 + i % 4, [i % 10]), draws)) for i in range(40)]
    right = [(old, new := parse(flip.text)[1][0]) != (4, 9) and new != 4 for old, flip in pairs]
    assert 0 < sum(right) < 40
    return np.mean(right)


def test_the_pictures_stand_beside_their_captions(found):
    """Seen and held-out ones in turn, five of each; a digit that runs from 0 to 9."""
    texts = texts_of(found.per_point["generated_captions"])
    assert texts == [sentence(4, [4]), sentence(4, [0]), sentence(5, [5]), sentence(5, [1])]
    assert found.per_point["generated"].shape == found.per_point["flipped"].shape == (20, 900)
    assert texts_of(found.per_point["flipped_captions"]) == [
        "the digit 0 … 9 is at the top left of the image .",
        "the digit 0 … 9 is at the bottom right of the image .",
    ]
    bright = found.per_point["flipped"].max(1).reshape(2, 10)
    expected = [round(255 * ((9 if d == 4 else d) / 10 + 0.05)) for d in range(10)]
    assert np.abs(bright.astype(int) - expected).max() <= 1


def test_weights_of_another_reader_are_refused():
    with pytest.raises(ValueError, match=rf"sha256 {checksum()}, not 0000"):
        load_reader("0000")


def test_a_point_without_a_caption():
    values = torch.zeros(3, 900 + 264, dtype=torch.uint8)
    with pytest.raises(ValueError, match="one-hot"):
        GeneratedFromCaptions(checksum())(Painter(), TestSplit(values), seed=0)


def test_the_reader_rescales_images():
    """60 x 60 by means of four pixels; 20 x 20 by interpolation."""
    white = torch.full((1, 28, 28), 255, dtype=torch.uint8)
    scene = Scenes(torch.tensor([4]), torch.zeros(1, 2, dtype=torch.long))
    large = paint(scene, white, 60, torch.Generator().manual_seed(0)).view(1, 60, 60) / 255
    windows = windows_of(large)
    assert windows.shape == (1, 8, 16, 16)
    assert float(windows[0, 4].sum()) == 14 * 14
    assert windows_of(torch.ones(2, 20, 20)).shape == (2, 8, 16, 16)
