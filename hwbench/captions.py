"""Captions of images of one or two digits: their grammar, and the places that they name.

Dims: N captions, W words in a caption, V words in the vocabulary, P places.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

DIGITS = 10
NOTHING = DIGITS  # marks a place without a digit
VOCABULARY = (
    *map(str, range(DIGITS)),
    *("the", "digit", "is", "on", "at", "left", "right", "bottom", "top", "of", "image", "."),
)
WORDS = 12  # in every caption
PLACES = (
    *("left", "right", "top", "bottom"),
    *("top left", "bottom right", "top right", "bottom left"),
)
TEMPLATES: dict[str, tuple[str, ...]] = {  # each with the places of its digits, in word order
    "the digit {} is on the left of the digit {} .": ("left", "right"),
    "the digit {} is on the right of the digit {} .": ("right", "left"),
    "the digit {} is at the top of the digit {} .": ("top", "bottom"),
    "the digit {} is at the bottom of the digit {} .": ("bottom", "top"),
    "the digit {} is at the top left of the image .": ("top left",),
    "the digit {} is at the bottom right of the image .": ("bottom right",),
    "the digit {} is at the top right of the image .": ("top right",),
    "the digit {} is at the bottom left of the image .": ("bottom left",),
}
SLOTS = tuple((t, i) for t, places in enumerate(TEMPLATES.values()) for i in range(len(places)))


def side_of(visible: int) -> int:
    """Return the side of the square image in a point: its pixels, then the words of its caption.

    Raises:
        ValueError: the number of units left for pixels is not a square.
    """
    pixels = visible - WORDS * len(VOCABULARY)
    side = math.isqrt(max(pixels, 0))
    if pixels < 1 or side**2 != pixels:
        raise ValueError(
            f"a point of {visible} units is no square image with a caption of {WORDS} words, each "
            f"one of {len(VOCABULARY)}: {pixels} units are left for pixels"
        )
    return side


def sentence(template: int, digits: Sequence[int]) -> str:
    """Return a caption.

    >>> sentence(1, [3, 5])
    'the digit 3 is on the right of the digit 5 .'
    """
    text = list(TEMPLATES)[template]
    return text.format(*digits[: len(TEMPLATES[text])])


@functools.cache
def parse(text: str) -> tuple[int, tuple[int, ...]]:
    """Return the template of a caption and its digits.

    Raises:
        ValueError: a word is not in the vocabulary, or the words fit no template.

    >>> parse("the digit 7 is at the top left of the image .")
    (4, (7,))
    """
    words = text.split()
    unknown = sorted(set(words) - set(VOCABULARY))
    if unknown:
        raise ValueError(
            f"caption {text!r} has words outside the vocabulary: {', '.join(map(repr, unknown))}; "
            f"the vocabulary is {' '.join(VOCABULARY)}"
        )
    digits = tuple(int(word) for word in words if word.isdigit())
    form = " ".join("{}" if word.isdigit() else word for word in words)
    if form not in TEMPLATES:
        forms = "; ".join(name.format("a", "b") for name in TEMPLATES)
        raise ValueError(f"caption {text!r} has none of the forms: {forms}")
    return list(TEMPLATES).index(form), digits


def encode(texts: Sequence[str]) -> Bool[Tensor, "n w v"]:
    """Return captions as one-hot codes of their words.

    Raises:
        ValueError: see `parse`.
    """
    numbers = []
    for text in texts:
        parse(text)
        numbers.append([VOCABULARY.index(word) for word in text.split()])
    index = torch.tensor(numbers, dtype=torch.long).view(-1, WORDS, 1)
    return torch.arange(len(VOCABULARY)) == index


def decode(codes: Float[Tensor, "n w v"]) -> list[str]:
    """Return the captions of one-hot codes.

    Raises:
        ValueError: the code of a word is not one-hot, or the caption is invalid (see `parse`).
    """
    if not bool((((codes == 0) | (codes == 1)).all(2) & (codes.sum(2) == 1)).all()):
        raise ValueError("a caption's words must be one-hot codes: a 1, and zeros")
    numbers: list[list[int]] = codes.argmax(2).tolist()
    texts = [" ".join(VOCABULARY[i] for i in caption) for caption in numbers]
    for text in texts:
        parse(text)
    return texts


def layouts(texts: Sequence[str]) -> Integer[Tensor, "n p"]:
    """Return which digit each caption puts in each of `PLACES`, or `NOTHING`.

    >>> layouts(["the digit 3 is at the bottom of the digit 5 ."]).tolist()
    [[10, 10, 5, 3, 10, 10, 10, 10]]
    """
    places = list(TEMPLATES.values())
    out = torch.full((len(texts), len(PLACES)), NOTHING)
    for row, text in zip(out, texts, strict=True):
        template, digits = parse(text)
        for place, digit in zip(places[template], digits, strict=True):
            row[PLACES.index(place)] = digit
    return out
