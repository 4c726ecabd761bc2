"""Map a function over items on a Ray cluster (`pip install hwbench[ray]`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hwbench.executors.local import Done, call, environment
from hwbench.spec import UserError


class _Board:
    """Messages between tasks and driver, as an actor of the cluster."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, Any]] = []
        self.stop = False

    def tell(self, index: int, news: Any) -> bool:
        self.messages.append((index, news))
        return self.stop

    def take(self) -> list[tuple[int, Any]]:
        messages, self.messages = self.messages, []
        return messages

    def end(self) -> None:
        self.stop = True


def _task(name: str, index: int, item: Any, board: Any) -> Done:
    import ray

    stop_requested = False

    def report(news: Any) -> None:
        nonlocal stop_requested
        stop_requested = ray.get(board.tell.remote(index, news))

    return call(name, index, item, report, lambda: stop_requested)


class RayExecutor:
    """Runs items as Ray tasks, at most `jobs` at a time, each with `threads` CPUs.

    The cluster is that of RAY_ADDRESS, or one started on this machine. Results and cache folders
    must be on a file system that all nodes share. If the driver has a GPU, each task requests one
    from the cluster, since Ray hides GPUs from tasks that request none.

    Raises:
        UserError: Ray is not installed.
    """

    def __init__(self, jobs: int, threads: int = 1) -> None:
        try:
            import ray
        except ImportError:
            raise UserError("--executor ray needs Ray: pip install 'hwbench[ray]'") from None
        import torch

        self._ray = ray
        self.jobs = jobs
        self.threads = threads
        self.gpus = int(torch.cuda.is_available())
        self.stopping = False
        self._running: dict[Any, int] = {}

    def stop(self) -> None:
        """Ask the running items to save their state and end."""
        self.stopping = True

    def kill(self) -> None:
        """Kill the running tasks immediately; files on disk are complete and remain."""
        self.stop()
        for reference in list(self._running):
            self._ray.cancel(reference, force=True)

    def map(
        self,
        function: str,
        items: Sequence[Any],
        on_news: Callable[[int, Any], None] = lambda index, news: None,
    ) -> Iterator[Done]:
        """Yield outcomes as they arrive; see `LocalExecutor.map`."""
        ray = self._ray
        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS")
            ray.init(address=address, log_to_driver=False, include_dashboard=False)
        own = {"env_vars": environment(self.threads)}
        task = ray.remote(
            num_cpus=self.threads, num_gpus=self.gpus, max_retries=0, runtime_env=own
        )(_task)
        board = ray.remote(_Board).remote()
        waiting = list(enumerate(items))[::-1]
        running = self._running
        stop_sent = False
        while waiting or running:
            if self.stopping:
                waiting.clear()
                if not stop_sent:
                    ray.get(board.end.remote())
                    stop_sent = True
            while waiting and len(running) < self.jobs:
                index, item = waiting.pop()
                running[task.remote(function, index, item, board)] = index
            ready, _ = ray.wait(list(running), timeout=1.0) if running else ([], [])
            for index, news in ray.get(board.take.remote()):
                on_news(index, news)
            for reference in ready:
                index = running.pop(reference)
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayError as error:
                    yield Done(index, error=f"the task died: {str(error).splitlines()[0]}")
