"""Map a function over items in this very process, one after the other: for debuggers and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hwbench.executors.local import Done, call


class InlineExecutor:
    """Runs items here; `jobs` is one whatever is asked, and threads are those of this process."""

    def __init__(self, jobs: int = 1, threads: int = 1) -> None:
        self.jobs = 1
        self.stopping = False

    def stop(self) -> None:
        """Ask the running item to save what it has and end."""
        self.stopping = True

    def kill(self) -> None:
        """Do as `stop` does: there is no other process to end."""
        self.stop()

    def map(
        self,
        function: str,
        items: Sequence[Any],
        on_news: Callable[[int, Any], None] = lambda index, news: None,
    ) -> Iterator[Done]:
        """Yield outcomes as they come; see `LocalExecutor.map`."""
        for index, item in enumerate(items):
            if self.stopping:
                return

            def report(news: Any, index: int = index) -> None:
                on_news(index, news)

            yield call(function, index, item, report, lambda: self.stopping)
