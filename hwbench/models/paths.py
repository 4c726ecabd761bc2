"""Layers above an image and above a text, and a joint layer on top of both."""

# Dims: B points, D inputs of an image, V words, H units of a layer.

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hwbench.models.gaussian import GaussianRBM
from hwbench.models.ranked import Ranked
from hwbench.models.replicated import Length, ReplicatedSoftmax
from hwbench.models.stack import BinaryStack
from hwbench.protocols import Couplings, EnergyModel, Pairs, Stack, Text, TextGenerator, TrainSplit

Count = Annotated[int, Field(ge=1)]
T = TypeVar("T", bound="TwoPaths")


class _Pixels(GaussianRBM):
    """A Gaussian RBM with unit variance whose hidden logits may be doubled."""

    def __init__(self, visible: int, hidden: int, init: float, scale_up: float) -> None:
        super().__init__(visible, hidden, init)
        self.scale_up = scale_up

    def hidden_input(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b h"]:
        """Return x W + c."""
        return torch.addmm(self.hidden_bias, x, self.weight)

    def hidden_logits(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b h"]:
        """Return s (x W + c)."""
        return self.scale_up * super().hidden_logits(x)

    def free_energy(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """Return ‖x − b‖² / 2 − Σ_j softplus(s (c_j + x·W_j)) / s."""
        distance = (x - self.visible_bias).square().sum(-1) / 2
        return distance - F.softplus(self.hidden_logits(x)).sum(-1) / self.scale_up

    def couplings(self) -> Couplings:
        """Return W, b and c, for weight decay."""
        return Couplings(self.weight, self.visible_bias, self.hidden_bias)


class _Words(ReplicatedSoftmax):
    """A replicated softmax whose hidden logits may be doubled."""

    def __init__(
        self, visible: int, hidden: int, init: float, length: Length, scale_up: float
    ) -> None:
        super().__init__(visible, hidden, init, length)
        self.scale_up = scale_up

    def couplings(self) -> Couplings:
        """Return W, b and a, for weight decay."""
        return Couplings(self.weight, self.visible_bias, self.hidden_bias)


class _Middle(BinaryStack):
    """One RBM of binary units, h W h' with biases on both sides, whose logits may be doubled."""

    def __init__(self, below: int, above: int, init: float, up: float, down: float) -> None:
        self.up, self.down = up, down
        super().__init__(below, [above], init)

    def add_biases(self, sizes: list[int]) -> None:
        """Create the biases of both sides."""
        self.below_bias, self.above_bias = (nn.Parameter(torch.zeros(n)) for n in sizes)

    def rbm(self, layer: int) -> tuple[Couplings, float, float]:
        """Return the parameters and the two scales."""
        own = Couplings(self.weights[0], self.below_bias, self.above_bias)
        return own, self.up, self.down

    @torch.no_grad()
    def sample(self, n: int) -> Float[Tensor, "n d"]:
        """Return the means of the units below after some sweeps."""
        return self.pair(1).sample(n)


class Path(nn.Module):
    """Two layers above one part of a point.

    Attributes:
        first: the RBM between the part and h_1.
        second: the RBM between h_1 and h_2.
    """

    first: _Pixels | _Words
    second: _Middle

    def __init__(self, first: _Pixels | _Words, second: _Middle) -> None:
        super().__init__()
        self.first, self.second = first, second

    def from_part(self, part: Float[Tensor, "b d"]) -> Float[Tensor, "b h"]:
        """Return the logits of h_1 from the part alone."""
        if isinstance(self.first, _Words):
            return self.first.hidden_input(part, part.sum(1))
        return self.first.hidden_input(part)


class TwoPaths(Ranked, Stack, TextGenerator):
    """An image and a text with two layers of binary units each, and a joint layer on top.

    Srivastava & Salakhutdinov (2012, 2014). A Gaussian RBM connects the image to its first layer,
    and a replicated softmax connects the word counts to theirs. A text without words is treated as
    unknown: the text path and the joint layer are trained on pairs with words.

    The layers h_1, …, h_L are those of the image, then those of the text, then the joint layer.
    Pretraining RBM number `layer` has h_layer as its upper side.

    Args:
        words: vocabulary size V.
        image: units of the two layers above the image.
        text: units of the two layers above the text; empty for a model of images alone.
        joint: units of the joint layer.
        init: standard deviation of the initial weights.
        length: length of texts, as for `replicated.ReplicatedSoftmax`.
        infer: generate a text by mean field (`mf`) or Gibbs sampling (`gibbs`) with the image
            clamped. Sampling averages the expected counts over the second half of its sweeps.
        sweeps: number of sweeps; 10 for `mf` and 50 for `gibbs` by default.

    Attributes:
        paths: the paths above the image and, if there is one, above the text.
        top: the RBM between the upper layers of all paths and the joint layer.
    """

    doubled = False  # whether RBMs are pretrained for a DBM, whose layers have two neighbours
    paths: Sequence[Path]
    top: _Middle
    lengths: Tensor

    def __init__(
        self,
        visible: Annotated[int, Field(ge=2)],
        classes: int,
        words: Count,
        image: list[Count],
        text: list[Count],
        joint: Count,
        init: Annotated[float, Field(ge=0)] = 0.01,
        length: Length = "own",
        infer: Literal["mf", "gibbs"] = "mf",
        sweeps: Count | None = None,
    ) -> None:
        super().__init__()
        self.way, self.sweeps = infer, sweeps or (10 if infer == "mf" else 50)
        if len(image) != 2 or len(text) not in (0, 2):
            raise ValueError(
                f"{type(self).__name__}: needs two layers above the image, and two or none above "
                f"the text; found image = {image}, text = {text}"
            )
        self.layers = [*image, *text, joint]
        parts = {"image": [max(visible - words, 0), *image], "text": [words, *text]}
        self.features = {"joint": joint}
        for name, (d, *sizes) in parts.items():
            if sizes:
                names = ("input", "hidden1", "hidden2")
                units = zip(names, (d, *sizes), strict=True)
                self.features |= {f"{name}_{which}": n for which, n in units}
        self.add_classifiers(visible, words, classes)
        twice = 2.0 if self.doubled else 1.0
        first = _Pixels(visible - words, image[0], init, twice)
        paths = [Path(first, _Middle(image[0], image[1], init, twice, twice))]
        if text:
            tags = _Words(words, text[0], init, length, twice)
            paths.append(Path(tags, _Middle(text[0], text[1], init, twice, twice)))
        self.paths = nn.ModuleList(paths)  # type: ignore[assignment]
        below = image[1] + sum(text[1:])
        self.top = _Middle(below, joint, init, 1.0, twice)
        self.most = 1
        self.register_buffer("lengths", torch.ones(100))

    @classmethod
    def tiny(cls: type[T]) -> T:
        """Return three inputs of an image, three words and layers of two units."""
        return cls(visible=6, classes=3, words=3, image=[2, 2], text=[2, 2], joint=2, length=2)

    @property
    def pixels(self) -> GaussianRBM:
        """Return the Gaussian RBM."""
        first = self.paths[0].first
        assert isinstance(first, GaussianRBM)
        return first

    @property
    def tags(self) -> ReplicatedSoftmax | None:
        """Return the replicated softmax, or None for a model of images alone."""
        first = self.paths[-1].first
        return first if isinstance(first, _Words) else None

    @torch.no_grad()
    def adapt(self, train: TrainSplit) -> None:
        """Initialise the visible biases from the data, and store the lengths of the texts.

        Raises:
            ValueError: the data have another number of words, an image input is constant, or no
                text has words.
        """
        self.check_parts(train)
        assert isinstance(train, Pairs)
        check_inputs(type(self).__name__, train)
        own = train.text.lengths()
        own = own[own > 0]
        if not len(own):
            raise ValueError(f"{type(self).__name__}: no text of the training data has words")
        image, text = self.split(train.means())
        self.pixels.data_means.copy_(image)
        self.pixels.visible_bias.copy_(image)
        if (tags := self.tags) is not None:
            tags.remember(text)
            tags.mean_words.copy_(own.mean())
            middle = (torch.arange(len(self.lengths)) + 0.5) / len(self.lengths)
            kept = own.sort().values[(middle * len(own)).long()]
            self.lengths.copy_(kept if tags.length == "own" else torch.full_like(kept, tags.length))
        self.most = int(self.lengths.max())

    # --- greedy pretraining ---

    def pair(self, layer: int) -> EnergyModel:
        """Return the pretraining RBM with h_layer as its upper side.

        Raises:
            ValueError: there is no such layer.
        """
        if not 1 <= layer <= len(self.layers):
            raise ValueError(
                f"{type(self).__name__}.pair: expected a layer from 1 to {len(self.layers)}; "
                f"{layer=}"
            )
        if layer == len(self.layers):
            return self.top.pair(1)
        path = self.paths[(layer - 1) // 2]
        return path.second.pair(1) if layer % 2 == 0 else path.first

    @torch.no_grad()
    def upward(self, path: int, part: Float[Tensor, "b d"]) -> list[Tensor]:
        """Return the means of both layers of a path, as in pretraining."""
        own = self.paths[path]
        scale = 2.0 if self.doubled else 1.0
        h = (scale * own.from_part(part)).sigmoid_()
        return [h, own.second.pair(1).up(h).sigmoid_()]

    def parts_of(self, x: Float[Tensor, "b d"]) -> list[Tensor]:
        """Return the part of each path; counts are scaled to the model's length."""
        image, text = self.split(x)
        return [image] if self.tags is None else [image, self.tags.scaled(text)]

    @torch.no_grad()
    def ascend(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Return the means of h_layer by an upward pass of means; x for layer 0."""
        if layer == 0:
            return x
        parts = self.parts_of(x)
        if layer == len(self.layers):
            tops = torch.cat([self.upward(i, part)[1] for i, part in enumerate(parts)], 1)
            return self.top.pair(1).up(tops).sigmoid_()
        path = (layer - 1) // 2
        return self.upward(path, parts[path])[(layer - 1) % 2]

    @torch.no_grad()
    def below(self, x: Float[Tensor, "b d"], layer: int) -> Float[Tensor, "b h"]:
        """Draw the lower side of an RBM given points x; images and counts are taken from x as is.

        If the lower side depends on a text, pairs without words are replaced by other pairs of x.
        """
        path, top = (layer - 1) // 2, layer == len(self.layers)
        if self.tags is not None and (top or path == 1):
            x = with_words(x, x[:, -self.words :].sum(1) > 0)
        parts = self.parts_of(x)
        if top:
            means = [self.upward(i, part)[1] for i, part in enumerate(parts)]
            return torch.cat(means, 1).bernoulli()
        return parts[path] if layer % 2 else self.upward(path, parts[path])[0].bernoulli()

    # --- layers as features ---

    @abstractmethod
    def values(self, x: Float[Tensor, "b d"]) -> dict[str, Tensor]:
        """Return the values of all layers in `features`, given an image and a text."""

    def named(self, parts: list[Tensor], hidden: list[Tensor]) -> dict[str, Tensor]:
        """Return parts and hidden layers under their names in `features`."""
        *lower, joint = hidden
        out = {"joint": joint}
        for i, (name, part) in enumerate(zip(("image", "text"), parts, strict=False)):
            own = zip(
                ("input", "hidden1", "hidden2"), (part, *lower[2 * i : 2 * i + 2]), strict=True
            )
            out |= {f"{name}_{which}": value for which, value in own}
        return out

    def needs_text(self) -> ReplicatedSoftmax:
        """Return the replicated softmax.

        Raises:
            ValueError: this is a model of images alone.
        """
        if self.tags is None:
            raise ValueError(f"{type(self).__name__}: text = [], so there is no text to generate")
        return self.tags

    def expected_words(self) -> Tensor:
        """Return the number of words of a generated text."""
        tags = self.needs_text()
        return (
            tags.mean_words
            if tags.length == "own"
            else torch.full_like(tags.mean_words, tags.length)
        )

    @abstractmethod
    def generate(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b v"]:
        """Return the expected word counts given the image; the text of x is ignored."""

    @torch.no_grad()
    def complete_text(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return the points, with expected counts as the text of those without words."""
        missing = x[:, -self.words :].sum(1) == 0
        if self.tags is None or not bool(missing.any()):
            return x
        image, text = self.split(x)
        text = text.clone()
        text[missing] = self.generate(x[missing])
        return torch.cat([image, text], 1)

    @torch.no_grad()
    def represent(
        self, x: Float[Tensor, "b d"], layer: str, text: Text = "given"
    ) -> Float[Tensor, "b f"]:
        """Return the values of a layer."""
        image, words = self.split(x)
        if text == "given":
            x = self.complete_text(x)
        elif text == "zero" or self.tags is None:
            x = torch.cat([image, torch.zeros_like(words)], 1)
        else:
            x = torch.cat([image, self.generate(x)], 1)
        return self.values(x)[layer]


def check_inputs(name: str, train: Pairs) -> None:
    """Reject constant image inputs.

    Raises:
        ValueError: an input is constant.
    """
    low, high = train.values.amin(0), train.values.amax(0)
    constant = (low == high).nonzero()
    if len(constant):
        raise ValueError(
            f"{name}: input {int(constant[0])} of the images does not vary over the training "
            "points; leave it out"
        )


def with_words(x: Float[Tensor, "b d"], kept: Tensor) -> Float[Tensor, "b d"]:
    """Return len(x) points by repeating those marked in turn; x itself if none is marked."""
    order = (~kept).to(torch.uint8).argsort(stable=True)
    turn = torch.arange(len(x), device=x.device) % kept.sum().clamp_min(1)
    return x[order[turn]]
