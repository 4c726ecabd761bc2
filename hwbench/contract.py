"""The contract between data, model and numbers, checked from the values where a case is built.

Models are named by their protocols: `Model.observed` states which values a model can take.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor

from hwbench.protocols import (
    Dataset,
    Diverged,
    Evaluation,
    Model,
    PartlyLabelledSplit,
    Split,
    Splits,
)

SANE = 10.0  # times worse than a fair coin per unit; only a model that has diverged is that bad
ROUNDING = 1e-3  # nats by which the sum of float32 terms may exceed log 1 = 0
LOG_P = {"log_likelihood": 1, "nll": -1, "elbo": 1, "log_likelihood_mean_weights": 1}  # with signs
_CHUNK = 4096  # points looked at together, to limit memory
_LOOKED_AT = 1024  # points of a split that draws its own presentation

S = TypeVar("S", bound=Split)


def admit(splits: Splits, dataset: Dataset, model: Model) -> Splits:
    """Return the splits of a data set for a model; grey points are marked by their scale.

    Raises:
        ValueError: values that the model cannot take, or labels, shapes or lengths that do not fit.
    """
    visible, name = splits.train.visible, type(dataset).__name__
    if math.prod(dataset.shape) != visible:
        raise ValueError(
            f"{name}: shape {tuple(dataset.shape)} is not that of {visible} observed units"
        )
    for part, split in _parts(splits):
        where = f"{name}: {part} points"
        _check_form(where, split, visible)
        _check_labels(where, split, dataset.classes)
        _check_values(where, split, model)
    if model.observed != "binary":
        return splits
    validation = splits.validation
    return splits._replace(
        validation=None if validation is None else _marked(validation), test=_marked(splits.test)
    )


def _parts(splits: Splits) -> Iterator[tuple[str, Split]]:
    train, validation, test = splits
    yield "training", train
    if isinstance(train, PartlyLabelledSplit):
        yield "labelled", train.labelled
    if validation is not None:
        yield "validation", validation
    yield "test", test


def _check_form(where: str, split: Split, visible: int) -> None:
    """Check that values are [N, D] with N > 0 and the D of the training points."""
    if split.values.ndim != 2 or not len(split):
        raise ValueError(f"{where} must be [N, D]; found {list(split.values.shape)}")
    if split.visible != visible:
        raise ValueError(f"{where} have {split.visible} units, training points {visible}")
    if not (math.isfinite(split.scale) and split.scale > 0):
        raise ValueError(f"{where} have the scale {split.scale}; expected a number above 0")


def _check_labels(where: str, split: Split, classes: int) -> None:
    """Check that labels, if there are any, are class numbers, one for each point."""
    labels = split.labels
    if labels is None:
        return
    if labels.ndim != 1:
        raise ValueError(
            f"{where}: labels must be class numbers [N], not one-hot; found {list(labels.shape)}"
        )
    if len(labels) != len(split):
        raise ValueError(f"{where}: {len(labels)} labels for {len(split)} points")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"{where}: labels must be integers; found {labels.dtype}")
    low, high = (int(v) for v in labels.aminmax())
    if low < 0 or (classes and high >= classes):
        raise ValueError(
            f"{where}: labels must be from 0 to {classes - 1}; found {low} to {high}"
            if classes
            else f"{where}: labels must not be negative; found {low}"
        )


def _check_values(where: str, split: Split, model: Model) -> None:
    """Check that values are finite, and between 0 and 1 where the model or a draw needs that."""
    values, scale = _presented(split)
    low, high = (float(v) / scale for v in values.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{where} hold values that are not finite")
    if (model.observed == "binary" or split.resample) and (low < 0 or high > 1):
        who = type(model).__name__ if model.observed == "binary" else "a draw of pixels"
        raise ValueError(
            f"{where} go from {low:g} to {high:g}, but {who} needs values from 0 to 1: give the "
            'split its scale, or take a model of real values (`observed = "real"`)'
        )


def _presented(split: Split) -> tuple[Tensor, float]:
    """Return values and their divisor; a split that presents points in its own way is asked."""
    if type(split).batch is Split.batch:
        return split.values, split.scale
    index = torch.arange(min(len(split), _LOOKED_AT), device=split.values.device)
    generator = torch.Generator(index.device).manual_seed(0)
    return split.batch(index, generator), 1.0


def _marked(split: S) -> S:
    """Return the split with a scale other than 1 if its values are grey.

    Evaluators recognise grey points by their scale. Twice a float, halved, is the same float.
    """
    if split.scale != 1.0 or split.resample or not split.values.is_floating_point():
        return split
    if all(bool(((v == 0) | (v == 1)).all()) for v in torch.split(split.values, _CHUNK)):
        return split
    return dataclasses.replace(split, values=split.values * 2, scale=2.0)


def refuse_absurd(found: Evaluation, model: Model, visible: int) -> None:
    """Check that no log-likelihood is one that no model can have.

    Raises:
        Diverged: it is `SANE` times worse than a fair coin per unit; or log p of binary points is
            above 0, or that of real ones as far above 0.
    """
    worst = SANE * math.log(2) * visible
    best = ROUNDING if model.observed == "binary" else worst
    for name, sign in LOG_P.items():
        metric = found.metrics.get(name)
        if metric is None:
            continue
        value = sign * metric.value
        if not value > -worst and name in ("log_likelihood", "nll"):
            raise Diverged(
                f"the test log-likelihood is {value:.4g} nats, "
                f"{SANE:.0f} times worse than a fair coin per pixel"
            )
        if value > best:
            limit = "log p of binary points is at most 0" if best == ROUNDING else "no density is"
            raise Diverged(f"{name} says {value:.4g} nats of log p per point, but {limit}")
    exact = found.metrics.get("log_likelihood")
    log_px = found.per_point.get("log_px")
    if exact is not None and exact.kind == "exact" and log_px is not None and len(log_px):
        highest = float(log_px.max())
        if highest > best:
            raise Diverged(f"log p of a point is {highest:.4g} nats, above what is possible")
