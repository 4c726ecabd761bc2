"""No training: the model is measured as it was built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwbench.protocols import Dreamer, Fit, TrainSplit, ValidationSplit


class Untrained(Fit[Dreamer]):
    """Leave the model as it is, to measure estimators at chosen parameters."""

    def __init__(self) -> None:
        """Take no arguments; without a constructor of its own a class seems to accept any."""

    def __call__(
        self,
        model: Dreamer,
        train: TrainSplit,
        validation: ValidationSplit | None,
        seed: int,
        progress: Callable[[float, str], None],
    ) -> dict[str, Any]:
        """Do nothing; the seed has no effect, and there are no curves."""
        progress(1.0, "left as it is")
        return {}
