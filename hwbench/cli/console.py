"""Standard output and standard error, and the exit codes."""

from __future__ import annotations

import json
import math
from typing import Any

from rich.console import Console

DONE, VERDICT, WRONG_INPUT, INTERRUPTED, FAILED = 0, 1, 2, 3, 4


class Messages(Console):
    """Standard error. If it is not a terminal, each message is one line, for grep and editors."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(stderr=True, highlight=False, width=width)
        self.soft_wrap = not self.is_terminal


out, err = Console(highlight=False), Messages()


def print_json(value: Any) -> None:
    """Print a value on standard output as JSON; JSON has no NaN and no infinity, so null."""
    text = json.dumps(_finite(value), indent=2, allow_nan=False)
    out.file.write(f"{text}\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def count(number: int, noun: str) -> str:
    """Return "1 case" or "3 cases"."""
    return f"{number} {noun}{'s' * (number != 1)}"
