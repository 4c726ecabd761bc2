"""How well a linear model recovers the filters that generated the data.

Dims: D observed units, K learned filters, B true ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from hwbench.protocols import Evaluation, HeldOut, Metric, MixingModel, PicturingEvaluator


class FilterRecovery(PicturingEvaluator[MixingModel]):
    """Compare a model's mixing matrix A with the true filters, which are the held-out points.

        amari      distance of A⁺ B from a scaled permutation (Amari et al., 1996), from 0 to 1
        best_cosine    mean over true filters of the largest |cosine| with a learned one

    The columns of B are the true filters. Images show the true filters and the learned ones in the
    best one-to-one matching, with matching signs, each divided by its largest value.

    Args:
        pictures: largest number of images.
    """

    metrics = ("amari", "best_cosine")
    images = ("true", "learned")
    better = "lower"

    def __init__(self, pictures: Annotated[int, Field(ge=1, le=50)] = 12) -> None:
        self.pictures = pictures

    def __call__(
        self,
        model: MixingModel,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metrics, which are scores; the seed has no effect."""
        index = torch.arange(len(points), device=points.values.device)
        true, learned = points.batch(index).double().T, model.mixing().double()
        cosines = F.normalize(learned, dim=0).T @ F.normalize(true, dim=0)  # [K, B]
        values = {
            "amari": amari_distance(torch.linalg.pinv(learned) @ true),
            "best_cosine": float(cosines.abs().amax(0).mean()),
        }
        rows, columns = linear_sum_assignment(-cosines.abs().cpu().numpy())
        kept = np.argsort(columns, kind="stable")[: self.pictures]
        rows, columns = rows[kept], columns[kept]
        matched = learned[:, rows] * cosines[rows, columns].sign()
        progress(1.0)
        height, width = model.image
        out = Evaluation({k: Metric(v, n=len(points), kind="score") for k, v in values.items()})
        out.per_point = {"true": _bytes(true[:, columns]), "learned": _bytes(matched)}
        out.diagnostics = {"image_height": float(height), "image_width": float(width)}
        return out


def amari_distance(product: Float[Tensor, "k b"]) -> float:
    """Return how far a matrix is from a scaled permutation: 0 for one, 1 for equal entries.

    For each row and column, the sum of absolute values divided by the largest one, minus 1, is
    averaged and divided by its largest possible value.

    >>> amari_distance(torch.tensor([[0.0, 2.0], [-1.0, 0.0]]))
    0.0
    """
    size = product.abs().double()
    parts = []
    for dim in (0, 1):
        others = max(size.shape[dim] - 1, 1)
        largest = size.amax(dim).clamp_min(torch.finfo(size.dtype).tiny)
        parts.append(((size.sum(dim) / largest - 1) / others).clamp_min(0).mean())
    return float(0.5 * (parts[0] + parts[1]))


def _bytes(filters: Float[Tensor, "d n"]) -> np.ndarray:
    """Return filters as images [n, D] of bytes, with the value 0 at byte 128."""
    largest = filters.abs().amax(0).clamp_min(1e-12)
    return (127.5 * (filters / largest + 1)).round().T.to(torch.uint8).contiguous().cpu().numpy()
