"""Importance-sampled log-likelihood with an independent random stream for each net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from hwbench.evaluators.importance import Count, LogLikelihood
from hwbench.evaluators.points import points_of
from hwbench.numerics import stream
from hwbench.protocols import Evaluation, HeldOut, HelmholtzMachine, Scratch


class IndependentLogLikelihood(LogLikelihood):
    """`LogLikelihood` on a separate random stream: two nets of a table share no random numbers.

    `LogLikelihood` gives all methods the same stream at the same seed, so their Monte Carlo errors
    are correlated; here the errors of differently named nets are independent. The points are the
    same for every net, and so are the held-out pixels of `dynamic`, which are drawn once for a
    seed. Points whose pixels are drawn at each presentation would differ between nets, and are
    rejected.

    Args:
        net: name of the random stream; different for each net of a table.
        k: samples per point.
        points: size of a random subset of the held-out points; all by default.
        repeats: independent evaluations; their average is reported.
        mean_weights: also evaluate at the mean weights, if the model has random weights.
        curve: numbers of samples of the K-curve; a default list up to k.

    Raises:
        ValueError: `net` or `curve` is empty, a count is below 1, or `curve` does not increase or
            goes beyond k.
    """

    def __init__(
        self,
        net: Annotated[str, Field(min_length=1)],
        k: Count = 1000,
        points: Count | None = None,
        repeats: Count = 1,
        mean_weights: bool = True,
        curve: Annotated[list[Count], Field(min_length=1)] | None = None,
    ) -> None:
        if not net:
            raise ValueError("IndependentLogLikelihood: net must name the net (found '')")
        counts = {"k": [k], "points": [] if points is None else [points], "repeats": [repeats]}
        counts["curve"] = curve or []
        for name, values in counts.items():
            if any(value < 1 for value in values):
                found = curve if name == "curve" else values[0]
                raise ValueError(
                    f"IndependentLogLikelihood: {name} must be at least 1 (found {found})"
                )
        if curve is not None and not curve:
            raise ValueError("IndependentLogLikelihood: curve must not be empty (found [])")
        super().__init__(k, points, repeats, mean_weights, curve)
        self.net = net

    @classmethod
    def tiny(cls) -> IndependentLogLikelihood:
        """Return a small evaluation."""
        return cls("tiny", k=64)

    def __call__(
        self,
        model: HelmholtzMachine,
        points: HeldOut,
        *,
        seed: int,
        progress: Callable[[float], None] = lambda fraction: None,
        scratch: Scratch | None = None,
    ) -> Evaluation:
        """Choose the points by the seed, and evaluate on the net's stream for that seed.

        Raises:
            ValueError: the points' pixels are drawn at each presentation.
        """
        if points.resample:
            raise ValueError(
                "IndependentLogLikelihood: the points draw their pixels at each presentation, so "
                "that every net would see others; use importance.LogLikelihood"
            )
        chosen = points_of(points, self.points, seed)
        own = stream(seed, "net", self.net)
        return super().__call__(model, chosen, seed=own, progress=progress, scratch=scratch)
