"""Functions that the executor's tests run in worker processes."""

import os
import resource
import signal
import sys
import time
from pathlib import Path


def square(item, report, should_stop):
    return item**2


def tell(item, report, should_stop):
    report({"said": item})
    return item


def fail_on_two(item, report, should_stop):
    if item == 2:
        raise ValueError("two")
    return item


def die_on_two(item, report, should_stop):
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def threads(item, report, should_stop):
    return os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]


def page_faults(mebibytes, report, should_stop):
    """Return the pages that the kernel hands out while 20 blocks are allocated and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        len(b"x" * (mebibytes << 20))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def until_stopped(item, report, should_stop):
    report({"running": item})
    deadline = time.monotonic() + 120  # longer than a busy machine takes to start a worker
    while not should_stop():
        if time.monotonic() > deadline:
            return "never told"
        time.sleep(0.01)
    return "stopped"


def never_stop(item, report, should_stop):
    report({"running": os.getpid()})
    time.sleep(600)


def talk_until_stopped(item, report, should_stop):
    """Says more than a pipe holds before it looks up."""
    report("started")
    while not should_stop():
        time.sleep(0.01)
    for _ in range(100):
        report("x" * 10_000)
    Path(item).write_text("saved")


def save_when_stopped(item, report, should_stop):
    """Tell its process, and go on telling until asked to stop; then write to the file `item`."""
    deadline = time.monotonic() + 60
    while not should_stop() and time.monotonic() < deadline:
        report({"running": os.getpid()})
        time.sleep(0.02)
    Path(item).write_text("saved" if should_stop() else "never told")


def handle_signals(item, report, should_stop):
    """Return whether a handler of its own, as Lightning sets, gets a signal to the process."""
    got = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *a: got.append(a[0]))
        os.kill(os.getpid(), number)
    time.sleep(0.1)
    return got


def main_module(item, report, should_stop):
    return sorted(n for n in ("__main__", "__mp_main__") if hasattr(sys.modules.get(n), item))
