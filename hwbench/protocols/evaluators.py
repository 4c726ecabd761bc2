"""Evaluators, and what they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hwbench.protocols.data import HeldOut
from hwbench.protocols.rules import ForModels, M


@dataclass(frozen=True)
class Metric:
    """A measured number.

    Attributes:
        value: the number, in the metric's unit (nats for likelihoods).
        se: standard error over points, NaN if there is none.
        mc_se: standard error of the Monte Carlo estimate over repeats with the points fixed, NaN if
            exact.
        n: number of points.
        k: number of samples per point, 0 if exact.
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
    """A measured function: `x`, `y` and, if known, the standard error of y."""

    x: list[float]
    y: list[float]
    se: list[float] = field(default_factory=list)


@dataclass
class Evaluation:
    """The results of an evaluator.

    Attributes:
        metrics: metrics by name.
        per_point: arrays with one entry for each point, [N, ...], by name.
        curves: curves by name.
        diagnostics: numbers that show how reliable the metrics are.
        warnings: sentences for the report.
    """

    metrics: dict[str, Metric] = field(default_factory=dict)
    per_point: dict[str, np.ndarray] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Evaluator(ABC, ForModels[M]):
    """Measures a trained model on held-out points, in bounded memory.

    An evaluator that sets `resumable` is also given `scratch`, where it saves its state.

    Attributes:
        metrics: names of its metrics, against which specs are checked; `*` and `[1-9]` stand for
            parts that depend on the model. If empty, nothing is checked.
        curves: names of its curves, if `metrics` are given.
        better: the better direction of its first metric, which early stopping watches.
    """

    resumable = False
    metrics: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    better: Literal["higher", "lower"] = "higher"

    def refuse(self, model: M, shape: tuple[int, ...]) -> None:
        """Reject a model of the right protocol, or points, that it cannot measure; by default none.

        Called by `hwbench check`, with a model on the meta device and without data. It decides no
        number: a run does not call it, and a fingerprint leaves it out. What a run must not accept
        is refused by `__call__`, too.

        Args:
            model: the model of a row.
            shape: shape of a point of its data set.

        Raises:
            ValueError: the model or the points lack something that the evaluator needs.
        """

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
    """An evaluator that also returns images of a few points, for a figure of kind `images`.

    They are integer arrays [n, D] in `Evaluation.per_point`, with values from 0 to 255, or −1 for
    hidden pixels. The diagnostics `image_height` and `image_width` are their shape. For a figure of
    kind `captions`, an array `<name>_captions` [l, L] has the text of each of l lines of n / l
    images, as UTF-8 bytes padded with zeros.

    Attributes:
        images: names of the arrays.
    """

    images: tuple[str, ...] = ()


class PlottingEvaluator(Evaluator[M]):
    """An evaluator that also returns numbers to plot, in `Evaluation.per_point`.

    Attributes:
        lines: names of arrays [n, T], n lines of T numbers, for a figure of kind `series`.
        clouds: names of arrays [n, 3], the coordinates x and y of n points and the number of the
            class of each, for a figure of kind `scatter`.
    """

    lines: tuple[str, ...] = ()
    clouds: tuple[str, ...] = ()


class ListingEvaluator(Evaluator[M]):
    """An evaluator that also returns lines of text about a few points, for a figure of `lists`.

    They are arrays [n, W] of bytes in `Evaluation.per_point`: UTF-8, padded with zeros.

    Attributes:
        lists: names of the arrays.
    """

    lists: tuple[str, ...] = ()
