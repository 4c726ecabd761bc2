"""Standard output and standard error, and the exit codes."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from hwbench.spec.problems import visible

DONE, VERDICT, WRONG_INPUT, INTERRUPTED, FAILED = 0, 1, 2, 3, 4


class Output(Console):
    """A stream that shows texts as they are, and that never fails because of what it shows.

    Nothing in a text is markup or controls the terminal. A reader that has gone, as in `| head`,
    ends the output and not the command.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Yield the segments of a renderable, with control characters written out."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))

    def on_broken_pipe(self) -> None:
        """Discard everything from here on."""
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())

    def write(self, text: str) -> None:
        """Write a text that is laid out already."""
        if self.quiet:
            return
        try:
            self.file.write(text)
            self.file.flush()
        except BrokenPipeError:
            self.on_broken_pipe()


class Messages(Output):
    """Standard error. If it is not a terminal, each message is one line, for grep and editors."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(stderr=True, width=width)
        self.soft_wrap = not self.is_terminal


out, err = Output(), Messages()
quiet = False  # whether progress and other news are left out


def setup(silent: bool, plain: bool) -> None:
    """Set whether to leave out news and colours; NO_COLOR (any text) leaves out colours, too."""
    global quiet
    quiet = silent
    out.no_color = err.no_color = plain or bool(os.environ.get("NO_COLOR"))


def news(text: str) -> None:
    """Print a text on standard error unless the user wants quiet."""
    if not quiet:
        err.print(text)


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show on a terminal that something is going on, for what may take seconds."""
    if quiet or not err.is_terminal:
        yield
        return
    with err.status(text):
        yield


def print_json(value: Any) -> None:
    """Print a value on standard output as JSON; JSON has no NaN and no infinity, so null."""
    text = json.dumps(_finite(value), indent=2, allow_nan=False)
    out.write(f"{text}\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
