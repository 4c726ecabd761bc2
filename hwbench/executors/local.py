"""Map a function over items in worker processes on this machine.

Workers are spawned, not forked, so they inherit no thread pools, and each processes many items.
They ignore Ctrl-C; the parent asks them to stop. A worker that dies loses only its own item.
Workers do not import the caller's `__main__`, so a script needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing as mp
import os
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

GRACE = 60.0  # seconds for all workers together to save their state after a request to stop
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def environment(threads: int) -> dict[str, str]:
    """Return the environment variables of a worker.

    Idle threads sleep instead of spinning on another worker's core. Malloc (only glibc reads these
    variables) keeps large blocks for the next tensor. If they were returned, the kernel would clear
    every page again, a quarter of an evaluator's time with tensors of some MiB. Values set by the
    user take precedence for malloc.
    """
    keep = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        **{name: os.environ.get(name, value) for name, value in keep.items()},
    }


@dataclass(frozen=True)
class Done:
    """An item's outcome; `error` is a traceback or the reason why its worker died."""

    index: int
    outcome: Any = None
    error: str | None = None


def _function(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found


def call(
    name: str, index: int, item: Any, report: Callable[[Any], None], should_stop: Callable[[], bool]
) -> Done:
    """Call 'module:name' on an item; an exception becomes the outcome's `error`."""
    try:
        return Done(index, _function(name)(item, report, should_stop))
    except (Exception, SystemExit):
        return Done(index, error=traceback.format_exc())


def _work(name: str, pipe: Connection, stop: Any) -> None:
    """Process items from the parent, which also sends stop requests; signals stay blocked."""
    parent_died = False

    def report(news: Any) -> None:
        nonlocal parent_died
        try:
            pipe.send(("news", news))
        except OSError:  # The parent was killed, so the item is asked to stop.
            parent_died = True

    def should_stop() -> bool:
        return parent_died or bool(stop.is_set())

    try:
        while (message := pipe.recv()) is not None:
            index, item = message
            pipe.send(("done", call(name, index, item, report, should_stop)))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # The parent has died.
        return


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Start child processes with signals blocked and without importing our `__main__`.

    Signals to this process are delayed, and none is lost.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")  # It has no file to import.
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


class _Worker:
    def __init__(self, context: Any, name: str, stop: Any) -> None:
        self.pipe, child = context.Pipe()
        self.process = context.Process(target=_work, args=(name, child, stop), daemon=True)
        with _starting():
            self.process.start()
        child.close()
        self.item: int | None = None

    def give(self, index: int, item: Any) -> None:
        self.item = index
        self.pipe.send((index, item))

    def dismiss(self) -> None:
        """Ask it to end after its current item; `drain` reads its remaining messages."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)

    def drain(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll():
                self.pipe.recv()


def _end(workers: Sequence[_Worker], grace: float) -> None:
    """Let workers end within `grace` seconds in total, then kill those that are still running.

    Their pipes are emptied meanwhile, because a worker that is blocked on its pipe cannot save.
    """
    deadline = time.monotonic() + grace
    for worker in workers:
        worker.dismiss()
    running = list(workers)
    while running and (left := deadline - time.monotonic()) > 0:
        wait([w.process.sentinel for w in running], timeout=min(left, 0.1))
        for worker in running:
            worker.drain()
        running = [w for w in running if w.process.is_alive()]
    for worker in running:
        worker.process.kill()
    for worker in workers:
        worker.process.join()
        worker.pipe.close()


class LocalExecutor:
    """Runs `jobs` worker processes, each with `threads` threads for torch.

    Threads default to one, because torch's pool spins, and two busy pools in parallel slow each
    other down by a factor of 20 to 60.
    """

    def __init__(self, jobs: int, threads: int = 1) -> None:
        self.jobs = jobs
        self.threads = threads
        self._context = mp.get_context("spawn")
        self._stop = self._context.Event()
        self._stopped: float | None = None  # when a stop was requested
        self._workers: list[_Worker] = []

    def stop(self) -> None:
        """Ask the running items to save their state and end."""
        if self._stopped is None:
            self._stopped = time.monotonic()
        self._stop.set()

    def kill(self) -> None:
        """Kill the workers immediately; files on disk are complete and remain."""
        self.stop()
        for worker in self._workers:
            worker.process.kill()

    @property
    def stopping(self) -> bool:
        """Return whether `stop` was ever called."""
        return self._stopped is not None

    def map(
        self,
        function: str,
        items: Sequence[Any],
        on_news: Callable[[int, Any], None] = lambda index, news: None,
    ) -> Iterator[Done]:
        """Yield outcomes as they arrive; no item is started after `stop` was called.

        Args:
            function: 'module:name' of a function (item, report, should_stop) -> outcome.
            items: picklable arguments.
            on_news: called with each report of a running item.
        """
        own = environment(self.threads)
        previous = {k: os.environ.get(k) for k in own}
        os.environ.update(own)
        waiting = list(enumerate(items))[::-1]
        workers = self._workers
        try:
            while waiting or any(w.item is not None for w in workers):
                if self.stopping:
                    waiting.clear()
                idle = [w for w in workers if w.item is None]
                while waiting and (idle or len(workers) < self.jobs):
                    if idle:
                        worker = idle.pop()
                    else:
                        worker = _Worker(self._context, function, self._stop)
                        workers.append(worker)
                    worker.give(*waiting.pop())
                busy = [w for w in workers if w.item is not None]
                if not busy:
                    break
                if self._stopped is not None and time.monotonic() - self._stopped > GRACE:
                    for worker in busy:  # it hangs, and would not save anything any more
                        worker.process.kill()
                ready = wait([w.pipe for w in busy], timeout=1.0)
                for worker in busy:
                    if worker.pipe in ready:
                        done = self._read(worker, on_news)
                        if done is not None:
                            worker.item = None
                            yield done
                    if worker.item is None or worker.process.is_alive() or worker.pipe.poll():
                        continue
                    index, worker.item = worker.item, None
                    yield Done(index, error=_death(worker.process.exitcode))
                workers[:] = [w for w in workers if w.process.is_alive()]
        finally:
            self._stop.set()
            _end(workers, GRACE)
            workers.clear()
            self._stop.clear()
            for key, value in previous.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value

    @staticmethod
    def _read(worker: _Worker, on_news: Callable[[int, Any], None]) -> Done | None:
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join(5)
            index = worker.item if worker.item is not None else -1
            return Done(index, error=_death(worker.process.exitcode))
        if kind == "news":
            if worker.item is not None:
                on_news(worker.item, value)
            return None
        done: Done = value
        return done


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the worker process was ended by {name}{hint}"
    return f"the worker process ended with exit code {exitcode}"
