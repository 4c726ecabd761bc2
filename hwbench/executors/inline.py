"""Map a function over items one by one in the current process, for debugging and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hwbench.executors.local import Done, call


class InlineExecutor:
    """Runs items in this process; `jobs` and `threads` are ignored."""

    def __init__(self, jobs: int = 1, threads: int = 1) -> None:
        self.stopping = False

    def stop(self) -> None:
        """Ask the running item to save its state and end."""
        self.stopping = True

    def kill(self) -> None:
        """Do the same as `stop`, since there is no other process to kill."""
        self.stop()

    def map(
        self,
        function: str,
        items: Sequence[Any],
        on_news: Callable[[int, Any], None] = lambda index, news: None,
    ) -> Iterator[Done]:
        """Yield outcomes as they arrive; see `LocalExecutor.map`."""
        for index, item in enumerate(items):
            if self.stopping:
                return

            def report(news: Any, index: int = index) -> None:
                on_news(index, news)

            yield call(function, index, item, report, lambda: self.stopping)
