"""Standard output and standard error, and the exit codes."""

from __future__ import annotations

from rich.console import Console

DONE, VERDICT, WRONG_INPUT, INTERRUPTED, FAILED = 0, 1, 2, 3, 4


class Messages(Console):
    """Standard error. If it is not a terminal, each message is one line, for grep and editors."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(stderr=True, highlight=False, width=width)
        self.soft_wrap = not self.is_terminal


out, err = Console(highlight=False), Messages()
