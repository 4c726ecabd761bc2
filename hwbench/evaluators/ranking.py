"""How well a model ranks points by label: average precision, and precision at k."""

# Dims: N points, L labels.

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hwbench.evaluators.points import evaluating
from hwbench.numerics import stream
from hwbench.protocols import Evaluation, Evaluator, HeldOut, LabelRanker, Metric, Text, pairs_of
from hwbench.ranking import average_precision, precision_at

CHUNK = 1000  # points per call of the model


class MeanAveragePrecision(Evaluator[LabelRanker]):
    """`map`: average precision of the points ranked by the score of a label, averaged over labels.

    Metrics are expectations over a random order of points with equal scores (see
    `hwbench.ranking`). `precision_at_50` and `precision_at_51` are the fractions of relevant points
    among the first 50 and 51, averaged over labels. `map_<layer>` is `map` for each layer with
    classifiers. The numbers are exact for these points and have no standard errors over points.

    Args:
        layer: the layer for `map` and the precisions; the model's main layer by default.
        text: which text the model gets, as in `LabelRanker.represent`.
    """

    metrics = ("map", "precision_at_50", "precision_at_51", "map_*")

    def __init__(self, layer: str | None = None, text: Text = "given") -> None:
        self.layer, self.text = layer, text

    def __call__(
        self,
        model: LabelRanker,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metrics; the seed matters only if texts are drawn.

        Raises:
            ValueError: points have no texts or labels, the model has no such layer, or a label
                applies to no point.
        """
        split = pairs_of(points)
        assert split.targets is not None
        targets = split.targets.cpu().numpy()
        for name, column in zip(split.label_names, targets.T, strict=True):
            if not column.any():
                raise ValueError(f"label {name!r} applies to none of the {len(split)} points")
        main = next(iter(model.features)) if self.layer is None else self.layer
        layers = list(dict.fromkeys([main, *model.fitted()]))
        index = torch.arange(len(split), device=split.values.device)
        out = Evaluation()
        for i, layer in enumerate(layers):
            with evaluating(stream(seed, "evaluate", "ranking"), split.values.device):
                parts = [
                    model.score(model.represent(split.batch(part), layer, self.text), layer)
                    for part in index.split(CHUNK)
                ]
            scores = torch.cat(parts).double().cpu().numpy()
            columns = list(zip(scores.T, targets.T, strict=True))
            mean = float(np.mean([average_precision(s, t) for s, t in columns]))
            if layer == main:
                out.metrics["map"] = Metric(mean, n=len(split), kind="exact")
                for k in (50, 51):
                    share = float(np.mean([precision_at(s, t, k) for s, t in columns]))
                    out.metrics[f"precision_at_{k}"] = Metric(share, n=len(split), kind="exact")
            if layer in model.fitted():
                out.metrics[f"map_{layer}"] = Metric(mean, n=len(split), kind="exact")
            progress((i + 1) / len(layers))
        return out
