"""The grammar of captions, enumerated."""

import pytest
import torch

from hwbench.captions import (
    NOTHING,
    PLACES,
    SLOTS,
    TEMPLATES,
    VOCABULARY,
    WORDS,
    decode,
    encode,
    layouts,
    parse,
    sentence,
    side_of,
)

ALL = [
    (template, digits)
    for template, places in enumerate(TEMPLATES.values())
    for digits in ([(a, b) for a in range(10) for b in range(10)] if len(places) == 2 else
                   [(a,) for a in range(10)])
]  # fmt: skip


def test_every_caption_there_is():
    """Four templates of two digits and four of one: 440 different strings of twelve words."""
    texts = [sentence(template, digits) for template, digits in ALL]
    assert len(set(texts)) == len(texts) == 4 * 100 + 4 * 10
    assert {len(text.split()) for text in texts} == {WORDS} == {12}
    assert {word for text in texts for word in text.split()} == set(VOCABULARY)
    assert len(VOCABULARY) == 22
    assert [parse(text) for text in texts] == ALL
    codes = encode(texts)
    assert codes.shape == (440, 12, 22)
    assert (codes.sum(2) == 1).all()
    assert decode(codes.float()) == texts


def test_layouts_say_which_digit_stands_where():
    """Each caption fills the places of its template, and no two captions the same ones alike."""
    found = layouts([sentence(template, digits) for template, digits in ALL])
    assert (found != NOTHING).sum(1).tolist() == [len(digits) for _, digits in ALL]
    for (template, digits), row in zip(ALL, found, strict=True):
        places = list(TEMPLATES.values())[template]
        assert [row[PLACES.index(place)] for place in places] == list(digits)
    left_of, right_of = layouts([sentence(0, [1, 2]), sentence(1, [2, 1])])
    assert torch.equal(left_of, right_of)


def test_slots_are_all_digit_words():
    assert len(SLOTS) == 12
    assert len(set(SLOTS)) == 12
    assert sentence(4, [3, 8]) == sentence(4, [3])  # a template takes the digits that it has


def test_an_unknown_word_is_named_with_the_vocabulary():
    with pytest.raises(ValueError, match=r"vocabulary: 'cat'; the vocabulary is 0 1 .* image \."):
        encode(["the digit 3 is on the left of the cat 5 ."])


def test_known_words_in_no_known_order():
    with pytest.raises(ValueError, match="none of the forms: the digit a is on the left of"):
        parse("the digit 3 is on the top of the digit 5 .")


def test_codes_that_are_not_one_hot():
    codes = encode([sentence(0, [1, 2])]).float()
    for wrong in (0.5 * codes, codes + codes.roll(1, 2), torch.zeros_like(codes)):
        with pytest.raises(ValueError, match="one-hot"):
            decode(wrong)


def test_a_point_is_a_square_and_a_caption():
    assert side_of(30 * 30 + 12 * 22) == 30
    for visible in (30 * 30, 264, 7 + 264):
        with pytest.raises(ValueError, match="no square image with a caption"):
            side_of(visible)
