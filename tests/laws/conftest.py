"""What the laws share: tiny models away from any symmetry, and points for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from hwbench.captions import encode, sentence
from hwbench.protocols import (
    CountEnergyModel,
    Counts,
    Model,
    PairedModel,
    PairedTestSplit,
    PairedTrainSplit,
    PairedValidationSplit,
    Split,
    TestSplit,
    TextToImageModel,
    TrainSplit,
    ValidationSplit,
)

CLASSES = 3
PAIRED = {
    TrainSplit: PairedTrainSplit,
    ValidationSplit: PairedValidationSplit,
    TestSplit: PairedTestSplit,
}


def paired(model: PairedModel, kind: type[Split], values: torch.Tensor) -> Split:
    """The same numbers as images and texts, the second without words; each label applies to some.

    A model without classifiers has the number of labels that others have.
    """
    image, words = model.split(values.float())
    words = words.where(torch.arange(len(words))[:, None] != 1, 0)
    classes = getattr(model, "classes", CLASSES)
    targets = torch.arange(len(values))[:, None] % (torch.arange(classes) + 2) == 0
    return PAIRED[kind](
        values=image,
        text=Counts.of(words),
        targets=targets,
        label_names=tuple(f"label {i}" for i in range(classes)),
        word_names=tuple(f"word {i}" for i in range(model.words)),
    )


@pytest.fixture(scope="session")
def points_for() -> Callable[..., Split]:
    """points_for(model, TestSplit, n): binary points with labels, some pixels mostly on."""

    def points(model: Model, kind: type[Split] = TrainSplit, n: int = 24, grey: bool = False):
        draws = torch.Generator().manual_seed(n)
        means = torch.linspace(0.2, 0.8, model.visible)
        labels = torch.arange(n) % (getattr(model, "classes", 0) or CLASSES)
        if grey:
            values = torch.randint(256, (n, model.visible), generator=draws)
            return kind(captioned(model, values.to(torch.uint8), 255), labels, scale=255.0)
        values = torch.rand(n, model.visible, generator=draws) < means
        if isinstance(model, PairedModel):
            return paired(model, kind, values)
        if isinstance(model, CountEnergyModel):
            values[:, 0] = True  # a text without words is none
        return kind(captioned(model, values.to(torch.uint8)), labels)

    return points


def captioned(model: Model, values: torch.Tensor, white: int = 1) -> torch.Tensor:
    """Return points with captions that the grammar knows, where the model reads captions."""
    if isinstance(model, TextToImageModel):
        codes = encode([sentence(i % 8, [i % 10, (3 * i + 1) % 10]) for i in range(len(values))])
        values[:, -codes[0].numel() :] = white * codes.flatten(1)
    return values


@pytest.fixture(scope="session")
def away(points_for) -> Callable[[type[Model]], Model]:
    """away(cls): a tiny model, adapted to data, then every parameter moved by noise.

    What holds for it does not hold by a symmetry or a zero of the initial parameters.
    """

    def model(cls: type[Model], noise: float = 0.3) -> Model:
        torch.manual_seed(0)
        tiny = cls.tiny()
        tiny.adapt(points_for(tiny))
        with torch.no_grad():
            for p in tiny.parameters():
                p.add_(noise * torch.randn_like(p))
        return tiny

    return model
