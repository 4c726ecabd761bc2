"""Fitting of models that complete a half of an image whose units lie in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from hwbench.build import make
from hwbench.protocols import (
    Fit,
    Half,
    HalvedDataset,
    NeighbourCompleter,
    TrainSplit,
    ValidationSplit,
)


class KeepNeighbours(Fit[NeighbourCompleter]):
    """Store the training points, of which the k nearest in the seen half complete a point.

    Unlike `exemplars.ChooseNeighbours`, it chooses nothing and so needs no validation points.

    Args:
        data: the `use` block of a `HalvedDataset`, which knows the half.
        seen: the half that is seen, the same as in the evaluator.
        k: number of neighbours.

    Raises:
        ValueError: the data set does not know halves.
    """

    def __init__(
        self, data: dict[str, Any], seen: Half = "left", k: Annotated[int, Field(ge=1)] = 1
    ) -> None:
        dataset = make("data", data)
        if not isinstance(dataset, HalvedDataset):
            raise ValueError(f"{type(dataset).__name__} does not know which units are in a half")
        self.seen, self.k = dataset.half(seen), k

    @classmethod
    def tiny(cls) -> KeepNeighbours:
        """Return a fit to points of four units, two of them seen."""
        out = cls({"use": "halves.HalvedDigits"}, k=2)
        out.seen = out.seen[2:6]
        return out

    def __call__(
        self,
        model: NeighbourCompleter,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Store the points; the seed has no effect, and there are no curves.

        Raises:
            ValueError: the points have other units, or there are fewer than k.
        """
        if train.visible != len(self.seen):
            raise ValueError(
                f"KeepNeighbours: points of {train.visible} units, and a half of points of "
                f"{len(self.seen)} units"
            )
        model.keep(train, self.seen.to(train.values.device), self.k)
        progress(1.0, f"k = {self.k}")
        return {}
