"""Images generated from captions: digits that a reader net finds in them, and a bound."""

# Dims: N points, B points in a group, P places, W words, V words in the vocabulary.

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Integer
from pydantic import Field
from torch import Tensor

from hwbench.captions import DIGITS, NOTHING, decode, encode, layouts, parse, sentence
from hwbench.evaluators.points import Kind, evaluating, is_grey, mean_metric, points_of
from hwbench.evaluators.reader import Reader, checksum, load_reader
from hwbench.numerics import generator, stream
from hwbench.protocols import Evaluation, HeldOut, PicturingEvaluator, TextToImageModel

Count = Annotated[int, Field(ge=1)]
GROUP = 100  # captions at a time
EACH = 5  # images per caption in the figure
CAPTIONS = "{}_captions"  # name of the texts that belong to an array of images


class Flip(NamedTuple):
    """A caption with one digit word changed, and the place of that digit."""

    text: str
    place: int


def flipped(text: str, draws: torch.Generator) -> Flip:
    """Return a caption in which one of its digits is replaced by another random digit."""
    template, digits = parse(text)
    word = int(torch.randint(len(digits), (), generator=draws))
    other = int(torch.randint(DIGITS - 1, (), generator=draws))
    changed = list(digits)
    changed[word] = other + (other >= digits[word])
    new = sentence(template, changed)
    moved = layouts([new])[0] != layouts([text])[0]
    return Flip(new, int(moved.nonzero()[0, 0]))


def named_right(read: Integer[Tensor, "n p"], wanted: Integer[Tensor, "n p"]) -> Float[Tensor, "n"]:
    """Return the fraction of each caption's digits that are read in their places."""
    named = wanted != NOTHING
    return ((read == wanted) & named).sum(1).double() / named.sum(1)


def only_the_flip(
    before: Integer[Tensor, "n p"],
    after: Integer[Tensor, "n p"],
    place: Integer[Tensor, "n"],
    wanted: Integer[Tensor, "n p"],
) -> Float[Tensor, "n"]:
    """Return 1 if the digit read at `place` changes to the new one and no other changes, else 0."""
    index = place[:, None]
    new = after.gather(1, index) == wanted.gather(1, index)
    changed = (before != after).scatter(1, index, False)
    moved = before.gather(1, index) != after.gather(1, index)
    return (new & moved)[:, 0].logical_and(~changed.any(1)).double()


class GeneratedFromCaptions(PicturingEvaluator[TextToImageModel]):
    """Accuracy of the images that a model generates from the captions of test points.

    The reader (`reader.Reader`) was trained on real images; it classifies the digit in each of
    eight places, or finds none. One image is generated per caption.

    * `caption_accuracy`: fraction of the digits in a caption that are read in their places,
      averaged over captions; also as `caption_accuracy_seen` over captions with label 0 and as
      `caption_accuracy_held_out` over all others. A random digit is right for one caption in ten.
    * `picture_accuracy`: fraction of captions whose image has exactly the digits that they name.
    * `flip_accuracy`: fraction of captions for which, after one digit word is replaced at random
      and with the same noise, exactly this digit changes in the image, to the new one.
    * `bound`: lower bound on log p(image | caption) of the test points, in nats.

    The diagnostic `reader_accuracy` is the caption accuracy of the real test images. Images are
    kept: `generated`, five for each of some captions, and `flipped`, in which one digit word of a
    caption runs from 0 to 9. Their captions are kept as arrays of bytes.

    Args:
        reader: sha256 of the reader's weights, so that results record which reader was used.
        captions: number of random test points; all by default.
        pictures: number of captions with flips in the figure; twice as many have images.
    """

    metrics = (
        "caption_accuracy",
        "caption_accuracy_seen",
        "caption_accuracy_held_out",
        "picture_accuracy",
        "flip_accuracy",
        "bound",
    )
    images = ("generated", "flipped")

    def __init__(
        self,
        reader: str,
        captions: Count | None = None,
        pictures: Annotated[int, Field(ge=1, le=10)] = 2,
    ) -> None:
        self.reader, self.captions, self.pictures = load_reader(reader), captions, pictures

    @classmethod
    def tiny(cls) -> GeneratedFromCaptions:
        """Return an evaluation that keeps few images."""
        return cls(checksum(), pictures=1)

    def __call__(
        self,
        model: TextToImageModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return accuracies, the bound, and images of a few captions.

        Raises:
            ValueError: the caption of a point does not fit the grammar.
        """
        split = points_of(points, self.captions, seed)
        device = split.values.device
        reader = self.reader.to(device)
        draws = generator(seed, "evaluate", "captions", "flips")
        found: dict[str, list[Tensor]] = {}
        texts: list[str] = []
        for index in torch.arange(len(split), device=device).split(GROUP):
            with evaluating(stream(seed, "evaluate", "captions", int(index[0])), device):
                x = split.batch(index)
                own = decode(model.parts(x)[1])
                for name, values in _measured(model, reader, x, own, draws).items():
                    found.setdefault(name, []).append(values)
            texts += own
            progress((int(index[-1]) + 1) / len(split))
        arrays = {name: torch.cat(parts).cpu().numpy() for name, parts in found.items()}
        with evaluating(stream(seed, "evaluate", "captions", "pictures"), device):
            chosen = _chosen(split, 2 * self.pictures).tolist()
            out = Evaluation(per_point=_pictures(model, [texts[i] for i in chosen]))
        real = arrays.pop("real")
        new = _held_out(split)
        kind: Kind = "score" if is_grey(split) else "lower bound"
        for name, of_all in arrays.items():
            out.metrics[name] = mean_metric(of_all, kind if name == "bound" else "estimate")
            if name == "caption_accuracy" and new is not None:
                for part, which in (("seen", ~new), ("held_out", new)):
                    if which.any():
                        out.metrics[f"{name}_{part}"] = mean_metric(of_all[which], "estimate")
        out.per_point["caption_accuracy"] = arrays["caption_accuracy"].astype(np.float32)
        out.diagnostics = {
            "reader_accuracy": float(real.mean()),
            "image_height": float(model.image[0]),
            "image_width": float(model.image[1]),
        }
        return out


def _pictures(model: TextToImageModel, texts: list[str]) -> dict[str, np.ndarray]:
    """Return images for these captions, and flips of one digit of every other caption."""
    repeated = [text for text in texts for _ in range(EACH)]
    out = {
        "generated": _painted(model, repeated, model.noise(len(repeated))),
        CAPTIONS.format("generated"): _bytes(texts),
    }
    running, headings = [], []
    for text in texts[::2]:
        template, (first, *rest) = parse(text)
        running += [sentence(template, [digit, *rest]) for digit in range(DIGITS)]
        headings.append(text.replace(str(first), "0 … 9", 1))
    noise = model.noise(len(headings)).repeat_interleave(DIGITS, 0)
    return out | {
        "flipped": _painted(model, running, noise),
        CAPTIONS.format("flipped"): _bytes(headings),
    }


def _measured(
    model: TextToImageModel,
    reader: Reader,
    x: Float[Tensor, "b d"],
    texts: list[str],
    draws: torch.Generator,
) -> dict[str, Tensor]:
    """Return each quantity for each point, [B]."""
    images, captions = model.parts(x)
    wanted = layouts(texts).to(x.device)
    flips = [flipped(text, draws) for text in texts]
    noise = model.noise(len(x))

    def read(pixels: Tensor) -> Tensor:
        return reader.read(pixels.view(-1, *model.image))

    before = read(model.generate(captions, noise))
    after = read(model.generate(_codes([flip.text for flip in flips], x), noise))
    place = torch.tensor([flip.place for flip in flips], device=x.device)
    new = layouts([flip.text for flip in flips]).to(x.device)
    return {
        "caption_accuracy": named_right(before, wanted),
        "picture_accuracy": (before == wanted).all(1).double(),
        "flip_accuracy": only_the_flip(before, after, place, new),
        "bound": model.bound(x).double(),
        "real": named_right(read(images), wanted),
    }


def _codes(texts: list[str], like: Tensor) -> Float[Tensor, "n w v"]:
    return encode(texts).to(like)


def _painted(model: TextToImageModel, texts: list[str], noise: Tensor) -> np.ndarray:
    """Return generated images as bytes [N, P]."""
    means = model.generate(_codes(texts, noise), noise)
    out: np.ndarray = (255 * means).round().to(torch.uint8).cpu().numpy()
    return out


def _bytes(texts: list[str]) -> np.ndarray:
    """Return texts as UTF-8 bytes [N, L], padded with zeros."""
    coded = [text.encode() for text in texts]
    length = max(map(len, coded))
    return np.array([list(text.ljust(length, b"\0")) for text in coded], dtype=np.uint8)


def _held_out(split: HeldOut) -> np.ndarray | None:
    """Return which points have held-out compositions; None without labels."""
    return None if split.labels is None else (split.labels != 0).cpu().numpy()


def _chosen(split: HeldOut, n: int) -> Integer[Tensor, "l"]:
    """Return up to n points that alternate between seen and held-out compositions."""
    new = _held_out(split)
    if new is None:
        return torch.arange(min(n, len(split)))
    rank = np.where(new, new.cumsum(), (~new).cumsum())
    return torch.from_numpy(np.lexsort((new, rank))[:n])
