"""Standard output and standard error, and the exit codes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from rich.console import Console

DONE, VERDICT, WRONG_INPUT, INTERRUPTED, FAILED = 0, 1, 2, 3, 4


class Messages(Console):
    """Standard error. If it is not a terminal, each message is one line, for grep and editors."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(stderr=True, highlight=False, width=width)
        self.soft_wrap = not self.is_terminal


out, err = Console(highlight=False), Messages()


def count(number: int, noun: str) -> str:
    """Return "1 case" or "3 cases"."""
    return f"{number} {noun}{'s' * (number != 1)}"


@contextlib.contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
