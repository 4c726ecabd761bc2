"""Texts that a model generates from images."""

# Dims: N points, V words.

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import Field

from hwbench.evaluators.points import evaluating, mean_metric
from hwbench.numerics import stream
from hwbench.protocols import Evaluation, HeldOut, ListingEvaluator, Pairs, TextGenerator
from hwbench.ranking import average_precision

CHUNK = 500  # points per call of the model


class GeneratedTags(ListingEvaluator[TextGenerator]):
    """How well the words generated from an image agree with its own words.

    Only points with words count. `tag_map` is the mean over points of the average precision of
    their words, ranked by expected counts, in expectation over the order of equal counts.
    `recall_at_10` is the fraction of a point's words among the first ten. Lists are kept for a few
    evenly spaced points: the point's `number`, the words `given`, and the first `generated` words,
    as many as are given but at least `least`.

    Args:
        lists: number of points whose lists are kept.
        least: smallest number of generated words in a list.
    """

    metrics = ("tag_map", "recall_at_10")
    lists: tuple[str, ...] = ("number", "given", "generated")

    def __init__(
        self,
        lists: Annotated[int, Field(ge=1, le=50)] = 8,
        least: Annotated[int, Field(ge=1)] = 5,
    ) -> None:
        self.count, self.least = lists, least

    def __call__(
        self,
        model: TextGenerator,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Evaluation:
        """Return the metrics, with standard errors over points, and the lists.

        Raises:
            ValueError: points have no texts, or none of them has words.
        """
        split = points
        if not isinstance(split, Pairs):
            raise ValueError(f"images with texts are needed; found a {type(split).__name__}")
        index = (split.text.lengths() > 0).nonzero()[:, 0]
        if not len(index):
            raise ValueError(f"none of the {len(split)} texts has words")
        found = []
        with evaluating(stream(seed, "evaluate", "tags"), split.values.device):
            for part in index.split(CHUNK):
                found.append(model.generate(split.batch(part)))
                progress((int(part[-1]) + 1) / len(split))
        counts = torch.cat(found).double().cpu().numpy()
        given = split.text.rows(index).cpu().numpy() > 0
        pairs = list(zip(counts, given, strict=True))
        recall = np.array([g[np.argsort(-c, kind="stable")[:10]].sum() / g.sum() for c, g in pairs])
        out = Evaluation(
            {
                "tag_map": mean_metric(np.array([average_precision(*p) for p in pairs]), "exact"),
                "recall_at_10": mean_metric(recall, "exact"),
            }
        )
        kept = np.unique(np.linspace(0, len(index) - 1, self.count).round().astype(int))
        out.per_point = self._listed(split, index[kept].tolist(), counts[kept], given[kept])
        progress(1.0)
        return out

    def _listed(
        self,
        split: Pairs,
        numbers: list[int],
        counts: Float[np.ndarray, "n v"],
        given: np.ndarray,
    ) -> dict[str, UInt8[np.ndarray, "n w"]]:
        """Return the lists by name."""
        names = np.array(split.word_names)
        firsts = [
            names[np.argsort(-c, kind="stable")[: max(self.least, int(g.sum()))]]
            for c, g in zip(counts, given, strict=True)
        ]
        return {
            "number": as_bytes([str(number) for number in numbers]),
            "given": as_bytes([", ".join(names[g]) for g in given]),
            "generated": as_bytes([", ".join(words) for words in firsts]),
        }


def as_bytes(lines: list[str]) -> UInt8[np.ndarray, "n w"]:
    """Return lines of text as UTF-8, padded with zeros."""
    raw = [line.encode() for line in lines]
    width = max(1, *map(len, raw))
    return np.array([list(line.ljust(width, b"\0")) for line in raw], dtype=np.uint8)
