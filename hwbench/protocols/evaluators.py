"""Evaluators, and what they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal

import numpy as np

from hwbench.protocols.data import HeldOut, T
from hwbench.protocols.models import Model
from hwbench.protocols.rules import M, _named_protocol


@dataclass(frozen=True)
class Metric:
    """A measured number.

    Attributes:
        value: in the metric's unit (nats for likelihoods).
        se: standard error over points, NaN if there is none.
        mc_se: standard error of the Monte Carlo estimate over repeats with the points fixed, NaN if
            exact.
        n: number of points; k: number of samples per point (0 if exact).
        kind: exact, estimate, lower bound (in expectation), upper bound, or score (not a
            likelihood).
    """

    value: float
    se: float = float("nan")
    mc_se: float = float("nan")
    n: int = 0
    k: int = 0
    kind: Literal["exact", "estimate", "lower bound", "upper bound", "score"] = "estimate"


@dataclass(frozen=True)
class Curve:
    """A measured function: `x`, `y` and, where known, the standard error of y."""

    x: list[float]
    y: list[float]
    se: list[float] = field(default_factory=list)


@dataclass
class Evaluation:
    """What an evaluator found."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    per_point: dict[str, np.ndarray] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Evaluator(ABC, Generic[M]):
    """Measures a trained model on held-out points, in bounded memory.

    An evaluator that sets `resumable` is also given `scratch`, where it keeps what it has so far.

    Attributes:
        metrics: names of what it measures, so that a spec that asks for another is told; `*` and
            `[1-9]` stand for what depends on the model. Without any, nothing is checked.
        curves: names of its curves, where `metrics` are given.
        better: which direction of its first metric is better, the one that early stopping watches.
    """

    resumable = False
    metrics: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    better: Literal["higher", "lower"] = "higher"

    @classmethod
    def trains(cls) -> type[Model]:
        """Return the protocol a model must satisfy."""
        return _named_protocol(cls)

    @classmethod
    def tiny(cls: type[T]) -> T:
        """Return an instance for the law tests."""
        return cls()

    @abstractmethod
    def __call__(
        self,
        model: M,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return metrics, per-point values, curves and diagnostics.

        The same seed gives the same numbers.
        """


class PicturingEvaluator(Evaluator[M]):
    """One that also keeps images of a few points, for a figure of kind `images`.

    They are arrays [n, D] of whole numbers in `Evaluation.per_point`: 0 to 255, and −1 where there
    is nothing to be seen. The diagnostics `image_height` and `image_width` are their shape.

    Attributes:
        images: their names.
    """

    images: tuple[str, ...] = ()
