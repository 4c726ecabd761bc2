"""The error rate of a classifier."""

# Dims: N points, C classes.

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from hwbench.protocols import Classifier, Evaluation, Evaluator, HeldOut, Metric, labels_of

CHUNK = 1000  # points per call of the model


def binomial_interval(wrong: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's score interval (1927) of the proportion wrong / n, 95 % for z = 1.96.

    >>> binomial_interval(0, 100)[0]
    0.0
    """
    p = wrong / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


class ErrorRate(Evaluator[Classifier]):
    """The share of points whose most probable class is not their label, from 0 to 1.

    It is exact for these points. `se` is the binomial standard error; the diagnostics `error_low`
    and `error_high` are Wilson's 95 % interval, which is also valid near 0. `correct` marks the
    points that are classified correctly, for McNemar's test between classifiers. `cross_entropy` is
    −log p(label), in nats.
    """

    better: Literal["higher", "lower"] = "lower"
    metrics = ("error", "cross_entropy")

    def __call__(
        self,
        model: Classifier,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return `error` and `cross_entropy`, and `correct` for each point.

        Raises:
            ValueError: points have no labels, or not one label each, or unexpected classes.
        """
        labels = labels_of(points, model.classes)
        right, entropy = [], []
        with torch.no_grad():
            for index in torch.arange(len(points), device=points.values.device).split(CHUNK):
                log_p = model.logits(points.batch(index)).double().log_softmax(1)
                entropy.append(-log_p.gather(1, labels[index][:, None])[:, 0])
                right.append(log_p.argmax(1) == labels[index])
                progress((int(index[-1]) + 1) / len(points))
        correct, nats = torch.cat(right).cpu().numpy(), torch.cat(entropy).cpu().numpy()
        n, wrong = len(correct), int((~correct).sum())
        error = wrong / n
        low, high = binomial_interval(wrong, n)
        se = float(nats.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
        return Evaluation(
            {
                "error": Metric(error, math.sqrt(error * (1 - error) / n), n=n, kind="exact"),
                "cross_entropy": Metric(float(nats.mean()), se, n=n, kind="exact"),
            },
            {"correct": correct.astype(np.uint8)},
            diagnostics={"error_low": low, "error_high": high},
        )
