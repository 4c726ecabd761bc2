"""Jobs run under locks, one or many; failures are recorded."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import filelock
import torch
from safetensors import SafetensorError

from hwbench.build import allow_plugins
from hwbench.datasets import files
from hwbench.protocols import DataMissing, Diverged, Interrupted
from hwbench.runner import onednn
from hwbench.runner.job import Job, Outcome, Report, clean
from hwbench.runner.loggers import Log
from hwbench.runner.machine import DeviceError, quiet_lightning
from hwbench.runner.result import run_case
from hwbench.spec import Case
from hwbench.store import Failure, Store, StoreError

SURROUNDINGS = (
    OSError,
    MemoryError,
    torch.OutOfMemoryError,
    SafetensorError,  # of a checkpoint that cannot be written
    StoreError,
    DeviceError,
    files.DataCorrupt,
)
WORK = "hwbench.runner.work:work"
NOT_STORED = "a fault of the surroundings: the next run tries again"


class _Busy(Exception):
    """Another process runs the case."""


def work(job: Job, report: Report, should_stop: Callable[[], bool]) -> Outcome:
    """Run one job and store its result or its failure; errors of the case do not propagate.

    Faults of the surroundings are reported and not stored, so that the next run tries again.
    """
    quiet_lightning()
    store = Store(job.results)
    case = job.case
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    clock = time.monotonic()
    try:
        allow_plugins(job.plugins)
        with _locked(job, report, should_stop), onednn.products():
            known = store.read(case)
            if known is not None and known.path.name != job.replaces:
                return Outcome(case, "on file")
            with Log(job) as log:
                result, per_point = run_case(job, log.reporting(report), should_stop, started)
                result.rerun = 0 if known is None else known.rerun + 1
                if not store.write(result, per_point):  # where locks do nothing, another was first
                    return Outcome(case, "on file")
                log.finish(result)
            with contextlib.suppress(OSError):
                clean(job)
        values = {name: metric.value for name, metric in result.metrics.items()}
        seconds, warned = time.monotonic() - clock, tuple(result.warnings)
        return Outcome(case, "done", metrics=values, seconds=seconds, warnings=warned)
    except Interrupted:
        return Outcome(case, "interrupted")
    except _Busy:
        return Outcome(case, "busy")
    except DataMissing as error:
        record_failure(store, case, "missing", str(error), started)
        return Outcome(case, "missing", str(error))
    except Exception as error:
        if is_of_surroundings(error):
            return Outcome(case, "failed", f"{named(error)} ({NOT_STORED})")
        reason = str(error) if isinstance(error, Diverged) else named(error)
        record_failure(store, case, "failed", reason, started)
        return Outcome(case, "failed", reason)
    except (SystemExit, KeyboardInterrupt) as error:
        code = exit_of(error)
        if code is None:
            raise
        reason = f"its code called sys.exit({code.code!r})"
        record_failure(store, case, "failed", reason, started)
        return Outcome(case, "failed", reason)


def exit_of(error: BaseException) -> SystemExit | None:
    """Return the sys.exit of a case's code behind an error; None for a Ctrl-C, also Lightning's."""
    found = error if isinstance(error, SystemExit) else error.__cause__
    ctrl_c = found is not None and isinstance(found.__context__, KeyboardInterrupt)
    return found if isinstance(found, SystemExit) and not ctrl_c else None


@contextlib.contextmanager
def _locked(job: Job, report: Report, should_stop: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock of a case, which other processes may run as well.

    Raises:
        Interrupted: a stop was requested while another process held it.
        _Busy: another process holds it, and the job does not wait.
    """
    lock = filelock.FileLock(job.cache / "locks" / f"{job.case.key}.lock")
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            lock.acquire(timeout=1.0 if job.waits else 0.0)
            break
        except filelock.Timeout:
            if not job.waits:
                raise _Busy from None
            report({"waiting": "another process is running this case"})
            if should_stop():
                raise Interrupted from None
    try:
        yield
    finally:
        lock.release()


def is_of_surroundings(error: BaseException) -> bool:
    """Return whether an error is the machine's and not the case's: disk, memory, locks, device."""
    no_locks = isinstance(error, NotImplementedError) and "flock" in str(error)
    return isinstance(error, SURROUNDINGS) or no_locks


def named(error: BaseException) -> str:
    """Return an error as text with the name of its type."""
    return f"{type(error).__name__}: {error}"


def record_failure(
    store: Store, case: Case, kind: Literal["failed", "missing"], reason: str, started: str
) -> None:
    """Store why a case has no result, with the traceback of the current exception, if that can be.

    The reason is reported in any case: a full disk must not hide it.
    """
    with contextlib.suppress(StoreError):
        store.write_failure(
            Failure(
                case=case,
                key=case.key,
                kind=kind,
                reason=reason,
                traceback=traceback.format_exc(),
                started=started,
            )
        )


def run_all(
    jobs: Sequence[Job], executor: Any, on_news: Callable[[int, Any], None]
) -> Iterator[Outcome]:
    """Run jobs through an executor and yield outcomes; the death of a worker is not stored.

    Jobs that another process runs come last, so that several processes can share a table's cases.
    """
    busy = []
    first = [replace(job, waits=False) for job in jobs]
    for done in executor.map(WORK, first, on_news):
        outcome = _outcome(done, jobs[done.index], executor.stopping)
        if outcome.status == "busy":
            busy.append(done.index)
        else:
            yield outcome

    def on_late_news(index: int, news: Any) -> None:
        on_news(busy[index], news)

    if busy:
        late = [jobs[index] for index in busy]
        for done in executor.map(WORK, late, on_late_news):
            yield _outcome(done, late[done.index], executor.stopping)


def _outcome(done: Any, job: Job, stopping: bool) -> Outcome:
    """Return how a job ended; `stopping` tells that its worker may have been ended on request."""
    if done.error is None:
        outcome: Outcome = done.outcome
        return outcome
    reason = done.error.strip().splitlines()[-1]
    if stopping:  # the worker was stopped and did not fail
        return Outcome(job.case, "interrupted", reason)
    return Outcome(job.case, "failed", f"{reason} ({NOT_STORED})")
