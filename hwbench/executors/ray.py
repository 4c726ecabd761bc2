"""Map a function over items on a Ray cluster (`pip install hwbench[ray]`)."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hwbench.executors.local import GRACE, SIGNALS, Done, call, environment
from hwbench.spec import UserError

LOOK_EVERY = 1.0  # seconds after which an item that reports nothing asks whether to stop
MOST_ON_A_GPU = 4  # cases that may share one; beyond, they only take turns


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

    def stop_requested(self) -> bool:
        return self.stop

    def end(self) -> None:
        self.stop = True


def _task(name: str, index: int, item: Any, board: Any) -> Done:
    import ray

    stop_requested, looked = False, time.monotonic()

    def take(answer: Any) -> None:
        nonlocal stop_requested, looked
        try:
            stop_requested, looked = ray.get(answer), time.monotonic()
        except ray.exceptions.RayError:  # The driver or its node is gone: save and end.
            stop_requested = True

    def should_stop() -> bool:
        if not stop_requested and time.monotonic() - looked > LOOK_EVERY:
            take(board.stop_requested.remote())
        return stop_requested

    return call(name, index, item, lambda news: take(board.tell.remote(index, news)), should_stop)


@contextlib.contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep this process's signal handlers, which `ray.init` would replace by its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class RayExecutor:
    """Runs items as Ray tasks, at most `jobs` at a time, each with `threads` CPUs.

    The cluster is that of RAY_ADDRESS, or one started on this machine. Results and cache folders
    must be on a file system that all nodes share. If the driver has a GPU, each task requests one
    from the cluster, since Ray hides GPUs from tasks that request none; with more jobs than GPUs,
    it requests the share of one that lets them run together. A task whose worker or node died is
    told, like a dead worker of this machine.

    Raises:
        UserError: Ray is not installed.
    """

    def __init__(self, jobs: int, threads: int = 1) -> None:
        try:
            import ray
        except ImportError:
            raise UserError("the executor ray needs Ray: pip install 'hwbench[ray]'") from None
        import torch

        self._ray = ray
        self.jobs = jobs
        self.threads = threads
        self.has_gpu = torch.cuda.is_available()
        self._stopped: float | None = None  # when a stop was requested
        self._running: dict[Any, int] = {}

    @property
    def stopping(self) -> bool:
        """Return whether `stop` was ever called."""
        return self._stopped is not None

    def stop(self) -> None:
        """Ask the running items to save their state and end."""
        if self._stopped is None:
            self._stopped = time.monotonic()

    def kill(self) -> None:
        """Kill the running tasks immediately; files on disk are complete and remain."""
        self.stop()
        for reference in list(self._running):
            self._ray.cancel(reference, force=True)

    def _connect(self) -> None:
        """Join or start a cluster, if this process has none yet."""
        if not self._ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS")
            with _own_handlers():
                self._ray.init(address=address, log_to_driver=False, include_dashboard=False)

    def map(
        self,
        function: str,
        items: Sequence[Any],
        on_news: Callable[[int, Any], None] = lambda index, news: None,
    ) -> Iterator[Done]:
        """Yield outcomes as they arrive; see `LocalExecutor.map`."""
        ray = self._ray
        self._connect()
        on_cluster = int(ray.cluster_resources().get("GPU", 0))
        gpus = gpu_share(self.jobs, on_cluster) if self.has_gpu else 0
        own = {"env_vars": environment(self.threads)}
        task = ray.remote(num_cpus=self.threads, num_gpus=gpus, max_retries=0, runtime_env=own)(
            _task
        )
        # The board needs no CPU, and stays on the driver's node, without which nothing goes on.
        board = ray.remote(num_cpus=0)(_Board).options(**_here(ray)).remote()
        waiting = list(enumerate(items))[::-1]
        running = self._running
        stop_sent = killed = False
        try:
            while waiting or running:
                if self._stopped is not None:
                    waiting.clear()
                    if not stop_sent:
                        ray.get(board.end.remote())
                        stop_sent = True
                    if not killed and time.monotonic() - self._stopped > GRACE:
                        self.kill()  # they hang, and would not save anything any more
                        killed = True
                while waiting and len(running) < self.jobs:
                    index, item = waiting.pop()
                    running[task.remote(function, index, item, board)] = index
                ready, _ = ray.wait(list(running), timeout=1.0) if running else ([], [])
                for index, news in ray.get(board.take.remote()):
                    on_news(index, news)
                for reference in ready:
                    index = running.pop(reference)
                    try:
                        done = ray.get(reference)
                    except ray.exceptions.RayError as error:
                        done = Done(index, error=f"the task died: {str(error).splitlines()[0]}")
                    yield done
        finally:
            for reference in list(running):  # left where the caller has stopped listening
                ray.cancel(reference, force=True)
            running.clear()
            ray.kill(board)


def gpu_share(jobs: int, gpus: int) -> float:
    """Return the share of a GPU that each of `jobs` jobs requests, at least a quarter.

    >>> gpu_share(1, 1), gpu_share(2, 1), gpu_share(16, 2), gpu_share(1, 4)
    (1.0, 0.5, 0.25, 1.0)
    """
    together = -(-jobs // max(1, gpus))  # jobs to a GPU, rounded up
    return 1.0 / min(MOST_ON_A_GPU, max(1, together))


def _here(ray: Any) -> dict[str, Any]:
    """Return the option that places an actor on this node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = ray.get_runtime_context().get_node_id()
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
