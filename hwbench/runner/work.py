"""Jobs run under locks, one or many; failures are recorded."""

from __future__ import annotations

import datetime as dt
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import filelock

from hwbench.build import allow_plugins
from hwbench.protocols import DataMissing, Diverged, Interrupted
from hwbench.runner.job import Job, Outcome, Report, clean
from hwbench.runner.machine import quiet_lightning
from hwbench.runner.result import run_case
from hwbench.spec import Case
from hwbench.store import Failure, Store


def work(job: Job, report: Report, should_stop: Callable[[], bool]) -> Outcome:
    """Run one job and store its result or its failure; errors of the case do not propagate."""
    quiet_lightning()
    store = Store(job.results)
    case = job.case
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    lock = filelock.FileLock(job.cache / "locks" / f"{case.key}.lock")
    lock_path = Path(lock.lock_file)
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    clock = time.monotonic()
    while True:
        try:
            lock.acquire(timeout=1.0)
            break
        except filelock.Timeout:
            report({"waiting": "another process is running this case"})
            if should_stop():
                return Outcome(case, "interrupted")
    try:
        if store.read(case) is not None:
            return Outcome(case, "on file")
        allow_plugins(job.plugins)
        result, per_point = run_case(job, report, should_stop, started)
        store.write(result, per_point)
        clean(job)
        values = {name: metric.value for name, metric in result.metrics.items()}
        seconds, warned = time.monotonic() - clock, tuple(result.warnings)
        return Outcome(case, "done", metrics=values, seconds=seconds, warnings=warned)
    except Interrupted:
        return Outcome(case, "interrupted")
    except DataMissing as error:
        record_failure(store, case, "missing", str(error), started)
        return Outcome(case, "missing", str(error))
    except Exception as error:
        reason = (
            f"{type(error).__name__}: {error}" if not isinstance(error, Diverged) else str(error)
        )
        record_failure(store, case, "failed", reason, started)
        return Outcome(case, "failed", reason)
    finally:
        lock.release()


def record_failure(
    store: Store, case: Case, kind: Literal["failed", "missing"], reason: str, started: str
) -> None:
    """Store why a case has no result, with the traceback of the current exception."""
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
    """Run jobs through an executor and yield outcomes; the death of a worker is a failure."""
    for done in executor.map("hwbench.runner.work:work", list(jobs), on_news):
        job = jobs[done.index]
        if done.error is None:
            yield done.outcome
            continue
        reason = done.error.strip().splitlines()[-1]
        if executor.stopping:  # the worker was stopped and did not fail
            yield Outcome(job.case, "interrupted", reason)
            continue
        record_failure(Store(job.results), job.case, "failed", reason, "")
        yield Outcome(job.case, "failed", reason)
