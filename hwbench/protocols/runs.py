"""The signals between a running case and its surroundings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


class Interrupted(Exception):
    """A run was asked to stop; its state is saved and it can be resumed."""


class Diverged(RuntimeError):
    """The loss is NaN or beyond all bounds; the message gives the step."""


@dataclass
class Hooks:
    """The connections of a run to its surroundings.

    Attributes:
        report: called with news, as a dictionary.
        stop: returns whether the run should save its state and end.
    """

    report: Callable[[dict[str, Any]], None] = lambda news: None
    stop: Callable[[], bool] = lambda: False


class Scratch(ABC):
    """Storage for the state of a long evaluation, from which an interrupted one resumes."""

    @abstractmethod
    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Return the arrays saved under a name, or None."""

    @abstractmethod
    def save(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Save arrays under a name; cheap to call often, since it writes only every half minute.

        The arrays are kept by reference and may be written later, when the caller has changed them
        further. So work that they do not yet count as done must be overwritten when it is repeated.
        """
