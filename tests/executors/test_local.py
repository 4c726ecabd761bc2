"""Worker processes: outcomes, news, errors, a worker that dies, and stopping."""

import os
import time
from pathlib import Path

import pytest

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
