"""Every fit of the shelf obeys its protocol on every model that it says it can fit."""

from __future__ import annotations

import math

import pytest
import torch

from hwbench import build
from hwbench.protocols import Density, Fit, Interrupted, Model, TestSplit, ValidationSplit

FITS = build.shelf("fit")
MODELS = build.shelf("model")
PAIRS = [
    pytest.param(fit, model, id=f"{fit_name}-{model_name}")
    for fit_name, fit in FITS.items()
    for model_name, model in MODELS.items()
    if issubclass(model, fit.trains())
]


class Seed(int):
    """A seed that notes whether it is used."""

    used = False

    def __int__(self) -> int:
        self.used = True
        return super().__int__()


def ignore(fraction: float, note: str) -> None:
    pass


def fitted(fit_class: type[Fit], model_class: type[Model], points_for, seed=0, progress=ignore):
    """Return a tiny model fitted on tiny data, and the curves."""
    torch.manual_seed(0)
    model = model_class.tiny()
    train, validation = points_for(model), points_for(model, ValidationSplit, 12)
    return model, fit_class.tiny()(model, train, validation, seed, progress)


def parameters(model: Model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.state_dict().values()])


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_a_fit_has_a_model(fit):
    assert fit.trains() is not Model
    assert any(issubclass(model, fit.trains()) for model in MODELS.values())


@pytest.mark.parametrize(("fit", "model"), PAIRS)
def test_the_seed_decides(fit, model, points_for, unchecked):
    """A fit that draws random numbers from the seed's streams differs from seed to seed."""
    seeds = [Seed(0), Seed(0), Seed(1)]
    a, b, c = (parameters(fitted(fit, model, points_for, seed)[0]) for seed in seeds)
    assert torch.equal(a, b)
    assert torch.equal(a, c) != seeds[0].used


@pytest.mark.parametrize(("fit", "model"), PAIRS)
def test_fitting_helps(fit, model, points_for):
    """A density gives its training points more than it did before."""
    if fit is FITS["untrained.Untrained"]:
        pytest.skip("meant to leave the model as it is")
    before = model.tiny()
    after, _ = fitted(fit, model, points_for)
    if not isinstance(after, Density):
        pytest.skip("no likelihood to compare")
    x = points_for(before, TestSplit).values.float()
    assert after.log_prob(x).mean() > before.log_prob(x).mean()


@pytest.mark.parametrize(("fit", "model"), PAIRS)
def test_progress_rises_and_can_interrupt(fit, model, points_for, unchecked):
    seen: list[float] = []
    _, curves = fitted(fit, model, points_for, progress=lambda f, note: seen.append(f))
    assert seen == sorted(seen)
    assert 0 <= seen[0] <= seen[-1] <= 1
    for points in curves.values():
        assert all(math.isfinite(y) for _, y in points)

    def stop(fraction: float, note: str) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        fitted(fit, model, points_for, progress=stop)
