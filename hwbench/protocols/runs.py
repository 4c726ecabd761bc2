"""What a running case and its surroundings tell each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


class Interrupted(Exception):
    """A run was asked to stop; what it had is saved and can be resumed."""


class Diverged(RuntimeError):
    """The loss is no longer a number, or beyond all bounds; the message says at which step."""


@dataclass
class Hooks:
    """How a run speaks to the outside: `report` gets what is new, `stop` says when to end early."""

    report: Callable[[dict[str, Any]], None] = lambda news: None
    stop: Callable[[], bool] = lambda: False


class Scratch(ABC):
    """A place where a long evaluation keeps what it has; an interrupted one goes on from there."""

    @abstractmethod
    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Return what was saved under a name, or None."""

    @abstractmethod
    def save(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep arrays under a name; cheap to call often, since it writes only every half minute.

        They are kept by reference and may be written later, when the caller has begun to fill in
        what comes next: what is not counted as done must be such that doing it again overwrites it.
        """
