"""Linear classifiers on the layers of a model, and directly on the inputs."""

# Dims: B points, D inputs of an image, V words, F units of a layer, L labels.

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hwbench.models.net import needs_classes
from hwbench.protocols import LabelRanker, Text, TrainSplit


class Ranked(LabelRanker):
    """A `LabelRanker` whose classifiers are buffers, so that no rule trains them."""

    def add_classifiers(self, visible: int, words: int, classes: int) -> None:
        """Create classifiers with zero weights for every layer in `features`.

        Raises:
            ValueError: there are no labels, or no image inputs besides the words.
        """
        name = type(self).__name__
        needs_classes(name, classes)
        if words >= visible:
            raise ValueError(
                f"{name}: {words} words of {visible} observed units leave none for the image"
            )
        self.visible, self.words, self.classes = visible, words, classes
        for layer, units in self.features.items():
            self.register_buffer(f"classifier_{layer}", torch.zeros(units + 1, classes))

    @torch.no_grad()
    def keep(self, layer: str, weight: Float[Tensor, "f l"], bias: Float[Tensor, "l"]) -> None:
        """Store the linear classifiers of a layer."""
        self._classifiers(layer).copy_(torch.cat([weight, bias[None]]))

    def score(self, features: Float[Tensor, "b f"], layer: str) -> Float[Tensor, "b l"]:
        """Return the score of each label for the values of a layer."""
        kept = self._classifiers(layer)
        return torch.addmm(kept[-1], features, kept[:-1])

    def fitted(self) -> list[str]:
        """Return the layers whose classifiers have been stored."""
        return [layer for layer in self.features if bool(self._classifiers(layer).any())]

    def _classifiers(self, layer: str) -> Tensor:
        if layer not in self.features:
            known = ", ".join(self.features)
            raise ValueError(f"{type(self).__name__} has no layer {layer!r}; its layers: {known}")
        kept: Tensor = getattr(self, f"classifier_{layer}")
        return kept


class PairedInputs(Ranked):
    """The inputs themselves as features: both parts, the image alone, and the word counts alone.

    A text without words stays empty, because this model cannot generate texts.

    Args:
        words: vocabulary size V.
    """

    def __init__(
        self,
        visible: Annotated[int, Field(ge=2)],
        classes: int,
        words: Annotated[int, Field(ge=1)],
    ) -> None:
        super().__init__()
        self.features = {
            "input": visible,
            "image_input": max(visible - words, 0),
            "text_input": words,
        }
        self.add_classifiers(visible, words, classes)

    @classmethod
    def tiny(cls) -> PairedInputs:
        """Return two inputs of an image, two words and three labels."""
        return cls(visible=4, classes=3, words=2)

    def adapt(self, train: TrainSplit) -> None:
        """Check that the data have this number of words.

        Raises:
            ValueError: they have another number.
        """
        self.check_parts(train)

    @torch.no_grad()
    def represent(
        self, x: Float[Tensor, "b d"], layer: str, text: Text = "given"
    ) -> Float[Tensor, "b f"]:
        """Return the inputs, or one part of them."""
        image, words = self.split(x)
        if text != "given":
            words = torch.zeros_like(words)
        parts = {"image_input": image, "text_input": words}
        return parts[layer] if layer in parts else torch.cat([image, words], 1)
