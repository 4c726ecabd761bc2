"""Worker processes: outcomes, news, errors, a worker that dies, and stopping."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hwbench.executors import local
from hwbench.executors.local import LocalExecutor

HERE = "executor_functions"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Spawned workers get the parent's search path, and so find the functions of this folder."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def run(function, items, jobs=2, on_news=lambda index, news: None):
    return list(LocalExecutor(jobs).map(f"{HERE}:{function}", items, on_news))


def test_outcomes_carry_their_index():
    found = {d.index: d.outcome for d in run("square", [3, 4, 5])}
    assert found == {0: 9, 1: 16, 2: 25}


def test_news_reach_the_parent_before_the_outcome():
    news = []
    run("tell", ["a", "b"], on_news=lambda index, n: news.append((index, n["said"])))
    assert sorted(news) == [(0, "a"), (1, "b")]


def test_an_error_is_reported_and_the_rest_goes_on():
    found = {d.index: d for d in run("fail_on_two", [1, 2, 3], jobs=1)}
    assert "ValueError: two" in found[1].error
    assert [found[i].outcome for i in (0, 2)] == [1, 3]


def test_a_dead_worker_takes_only_its_own_item():
    found = {d.index: d for d in run("die_on_two", [1, 2, 3], jobs=1)}
    assert "SIGKILL" in found[1].error
    assert [found[i].outcome for i in (0, 2)] == [1, 3]


def test_a_function_that_is_not_there_is_an_error_of_the_item():
    assert "ModuleNotFoundError" in next(iter(LocalExecutor(1).map("no_such_module:f", [1]))).error


def test_workers_are_single_threaded_and_the_environment_is_restored():
    before = os.environ.get("OMP_NUM_THREADS")
    assert run("threads", [None])[0].outcome == ("1", "PASSIVE")
    assert os.environ.get("OMP_NUM_THREADS") == before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_workers_keep_the_memory_of_large_blocks(monkeypatch):
    """The next one gets it without the kernel; what the user has set stands."""
    kept = run("page_faults", [16])[0].outcome
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    assert run("page_faults", [16])[0].outcome > 15 * kept > 0


def test_stopping_ends_running_items_and_starts_no_more():
    executor = LocalExecutor(1)
    started = time.monotonic()
    found = []
    for done in executor.map(
        f"{HERE}:until_stopped", range(5), lambda index, news: executor.stop()
    ):
        found.append(done)
    assert [d.outcome for d in found] == ["stopped"]
    assert time.monotonic() - started < 20


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def first_news(executor, function, items, number):
    """Start items; return the generator and what `number` of them said first."""
    told = []

    def listen(index, news):
        told.append(news)
        if len(told) == number:
            raise Enough

    outcomes = executor.map(f"{HERE}:{function}", items, listen)
    return outcomes, told


class Enough(Exception):
    pass


def test_all_workers_together_have_one_grace(monkeypatch):
    """Three that never end are killed after one grace, not three."""
    monkeypatch.setattr(local, "GRACE", 2.0)
    outcomes, told = first_news(LocalExecutor(3), "never_stop", range(3), 3)
    ended = []
    monkeypatch.setattr(local, "_end", lambda *a, end=local._end: ended.append(timed(end, *a)))
    with pytest.raises(Enough):
        next(outcomes)
    assert 2.0 <= ended[0] < 4.0
    assert not any(alive(news["running"]) for news in told)


def timed(function, *arguments):
    started = time.monotonic()
    function(*arguments)
    return time.monotonic() - started


def test_a_worker_that_saves_its_state_is_heard_out_and_not_waited_for(monkeypatch, tmp_path):
    """What it says after the stop exceeds what a pipe holds; it ends long before the grace."""
    items = [str(tmp_path / name) for name in ("a", "b")]
    outcomes, _ = first_news(LocalExecutor(2), "talk_until_stopped", items, 2)
    ended = []
    monkeypatch.setattr(local, "_end", lambda *a, end=local._end: ended.append(timed(end, *a)))
    with pytest.raises(Enough):
        next(outcomes)
    assert ended[0] < local.GRACE / 3
    assert [Path(item).read_text() for item in items] == ["saved", "saved"]


SCRIPT = """
import sys
from hwbench.executors.local import LocalExecutor
from hwbench.runner.campaign import Observer, interruptible

executor = LocalExecutor(2)

def listen(index, news):
    print(news["running"], flush=True)

with interruptible(executor, Observer()):
    for done in executor.map("executor_functions:never_stop", range(2), listen):
        print("done", done)
"""


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    """Real signals to a real process: the first waits for the workers, the second kills them."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    pids = [int(process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGINT)
    time.sleep(2)
    assert process.poll() is None
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert process.returncode != 0
    assert "KeyboardInterrupt" in error
    assert not any(alive(pid) for pid in pids)


KILLED = """
import sys
from hwbench.executors.local import LocalExecutor

def listen(index, news):
    print(news["running"], flush=True)

for done in LocalExecutor(1).map("executor_functions:save_when_stopped", sys.argv[1:], listen):
    print("done", done)
"""


def test_an_item_whose_parent_was_killed_is_asked_to_stop(tmp_path):
    """It saves its state instead of failing for want of a pipe."""
    path, saved = tmp_path / "script.py", tmp_path / "saved"
    path.write_text(KILLED)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [sys.executable, str(path), str(saved)], stdout=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    worker = int(process.stdout.readline())
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert saved.read_text() == "saved"
    assert not alive(worker)


def test_signals_to_a_worker_reach_no_handler_that_its_item_sets():
    (done,) = run("handle_signals", [0])
    assert done.outcome == []


PLAIN = """
from hwbench.executors.local import LocalExecutor

MARK = print("once")
found = [d.outcome for d in LocalExecutor(1).map("executor_functions:main_module", ["MARK"])]
print(found)
"""


@pytest.mark.parametrize("way", ["script", "typed"])
def test_a_script_without_a_main_guard_is_not_imported_by_workers(tmp_path, way):
    """Nor is what is typed into an interpreter."""
    path = tmp_path / "script.py"
    path.write_text(PLAIN)
    given = {"args": [sys.executable, str(path)]}
    if way == "typed":
        given = {"args": [sys.executable, "-iq"], "input": PLAIN}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    ended = subprocess.run(**given, capture_output=True, text=True, timeout=120, env=environment)
    assert ended.stdout.split() == ["once", "[[]]"], ended.stderr


def test_this_process_keeps_its_main():
    main = sys.modules["__main__"]
    run("square", [1])
    assert sys.modules["__main__"] is main
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
