"""Captioned digits: places, compositions held out, and images that agree with their captions."""

import pytest
import torch

from hwbench.captions import NOTHING, SLOTS, TEMPLATES, VOCABULARY, WORDS, decode, layouts, parse
from hwbench.datasets.captions import (
    CaptionedDigits,
    CaptionedMNIST,
    Scenes,
    banned_digits,
    draw_scenes,
    is_held_out,
    paint,
    place_bounds,
)
from hwbench.evaluators.reader import checksum, load_reader
from tests.evaluators.train_reader import share_read, train


@pytest.fixture(scope="module")
def splits():
    return CaptionedDigits("grey", images=600, validation=50, test=100).load(0)


def texts_of(split):
    codes = split.values[:, -WORDS * len(VOCABULARY) :].float() / split.scale
    return decode(codes.view(-1, WORDS, len(VOCABULARY)))


def has_banned(text):
    template, digits = parse(text)
    slots = [SLOTS.index((template, i)) for i in range(len(digits))]
    return any(banned_digits()[slot] == d for slot, d in zip(slots, digits, strict=True))


def test_training_never_shows_a_banned_digit_in_its_slot(splits):
    assert any(b != NOTHING for b in banned_digits())
    for part in (splits.train, splits.validation):
        assert not any(map(has_banned, texts_of(part)))
        assert (part.labels == 0).all()


def test_half_of_the_test_captions_have_one(splits):
    assert [int(has_banned(text)) for text in texts_of(splits.test)] == splits.test.labels.tolist()
    assert splits.test.labels.sum() == 50


def test_held_out_by_hand():
    """10 bans nothing."""
    banned = [10] * 12
    banned[SLOTS.index((1, 1))] = 4
    template = torch.tensor([1, 1, 0, 4])
    classes = torch.tensor([[4, 5], [5, 4], [5, 4], [9, 4]])
    assert is_held_out(template, classes, banned).tolist() == [False, True, False, False]


def test_compositions_have_the_frequencies_of_rejection():
    """A template has the share that the ban of a digit in each of its slots leaves it."""
    labels = torch.arange(10)
    scenes = draw_scenes(labels, 40000, False, torch.Generator().manual_seed(0))
    banned = banned_digits()
    kept = torch.ones(len(TEMPLATES))
    for (template, _), digit in zip(SLOTS, banned, strict=True):
        kept[template] *= 1.0 if digit == NOTHING else 0.9
    share = kept / kept.sum()
    found = torch.bincount(scenes.template, minlength=8) / 40000
    assert ((found - share).abs() < 5 * (share * (1 - share) / 40000).sqrt()).all()


def corners(template, lit, size=28, canvas=60, n=300):
    """Return the first lit row and column of n images where only one digit is not black."""
    images = torch.zeros(2, size, size, dtype=torch.uint8)
    images[1] = 255
    digits = torch.zeros(n, 2, dtype=torch.long)
    digits[:, lit] = 1
    scenes = Scenes(torch.full((n,), template), digits)
    painted = paint(scenes, images, canvas, torch.Generator().manual_seed(1))
    painted = painted.view(n, canvas, canvas)
    assert (painted.sum((1, 2)) == 255 * size**2).all()  # no digit leaves the canvas
    return painted.amax(2).argmax(1), painted.amax(1).argmax(1)


BOXES = {  # rows and columns in the authors' code, 60 x 60
    "left": (range(16, 19), range(5)),
    "right": (range(16, 19), range(28, 33)),
    "top": (range(3), range(16, 19)),
    "bottom": (range(30, 33), range(16, 19)),
    "top left": (range(3), range(5)),
    "bottom right": (range(30, 33), range(28, 33)),
    "top right": (range(3), range(28, 33)),
    "bottom left": (range(30, 33), range(5)),
}


@pytest.mark.parametrize(("template", "lit"), SLOTS)
def test_a_digit_takes_every_corner_of_its_place(template, lit):
    rows, columns = corners(template, lit)
    expected = BOXES[list(TEMPLATES.values())[template][lit]]
    assert (set(rows.tolist()), set(columns.tolist())) == tuple(map(set, expected))


@pytest.mark.parametrize("template", range(4))
def test_two_digits_stand_on_one_line(template):
    line = 0 if template < 2 else 1
    first, second = (corners(template, lit) for lit in (0, 1))
    assert torch.equal(first[line], second[line])
    assert not torch.equal(first[1 - line], second[1 - line])


def test_half_size_is_half_of_everything():
    for place, (rows, columns) in BOXES.items():
        halves = [(r[0] // 2, r[-1] // 2) for r in (rows, columns)]
        assert place_bounds(place, 30, 14) == halves
    assert CaptionedMNIST("grey", size=14).shape == (30 * 30 + 264,)
    assert CaptionedMNIST("grey").shape == (60 * 60 + 264,)


def test_what_is_lit_is_what_the_caption_says(splits):
    """Named places have ink, and around the place of a single digit there is none."""
    size, canvas = CaptionedDigits.digit, CaptionedDigits.canvas
    x = splits.train.values[:, : canvas**2].view(-1, canvas, canvas).float()
    wanted = layouts(texts_of(splits.train))
    alone = (wanted != NOTHING).sum(1) == 1
    for place, name in enumerate(BOXES):
        (top, bottom), (left, right) = place_bounds(name, canvas, size)
        inside = torch.zeros(canvas, canvas, dtype=torch.bool)
        inside[top : bottom + size, left : right + size] = True
        named = wanted[:, place] != NOTHING
        assert x[named][:, inside].mean(1).min() > 10
        assert (x[named & alone][:, ~inside] == 0).all()


@pytest.mark.data
def test_the_reader_reads_real_images(needs):
    """It judges generated ones, in evaluators/captions."""
    needs(*CaptionedMNIST.files)
    assert share_read(load_reader(checksum()), "grey") > 0.97


@pytest.mark.data
@pytest.mark.slow
def test_training_the_reader_again_gives_one_as_good(needs):
    needs(*CaptionedMNIST.files)
    assert share_read(train(), "grey") > 0.97
