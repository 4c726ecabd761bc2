"""Jobs under their locks: stored once, with failures on file."""

import threading
import time

import filelock

from hwbench.executors import make
from hwbench.runner.job import Job, run_folder
from hwbench.runner.result import run_case
from hwbench.runner.work import run_all, work
from hwbench.store import Store
from tests.runner.jobs import PROCESSES, failing, never, quiet, trained


def test_a_case_on_file_is_not_run_again(job):
    work(job, quiet, never)
    before = Store(job.results).path(job.case).read_bytes()
    assert work(job, quiet, never).status == "on file"
    assert Store(job.results).path(job.case).read_bytes() == before


def test_another_run_of_the_same_case_gives_the_same_numbers(job, folder):
    again = Job(job.case, folder / "elsewhere", folder / "other-cache", "cpu")
    a, b = work(job, quiet, never), work(again, quiet, never)
    assert a.metrics == b.metrics


def test_checkpoints_go_once_the_result_is_stored(job):
    work(job, quiet, never)
    assert [p.name for p in run_folder(job).iterdir()] == ["model.safetensors"]


def test_a_failure_is_on_file_with_its_reason_and_traceback(job):
    stage = {**job.case.train[0], "optimizer": {"use": "SGD", "lr": 1e30}}
    bad = failing(job, train=[stage])
    outcome = work(bad, quiet, never)
    assert outcome.status == "failed"
    assert "at step" in outcome.message
    failure = Store(job.results).read_failure(bad.case)
    assert failure.kind == "failed"
    assert "Diverged" in failure.traceback


def test_a_second_process_waits_and_finds_the_result(job):
    """While another holds the case, the job waits and says so; then it finds the result on file."""
    lock = filelock.FileLock(job.cache / "locks" / f"{job.case.key}.lock")
    (job.cache / "locks").mkdir(parents=True)
    news = []
    with lock:
        thread = threading.Thread(target=lambda: outcomes.append(work(job, news.append, never)))
        outcomes = []
        thread.start()
        time.sleep(1.5)
        assert any("waiting" in n for n in news)
        result, arrays = run_case(job, quiet, never)
        Store(job.results).write(result, arrays)
    thread.join(30)
    assert outcomes[0].status == "on file"


def test_a_run_leaves_cases_that_another_process_runs_for_last(job):
    """So that two runs of a table share its cases."""
    jobs = [trained(job, job.case.train, seed=seed) for seed in range(3)]
    lock = filelock.FileLock(job.cache / "locks" / f"{jobs[0].case.key}.lock")
    (job.cache / "locks").mkdir(parents=True)
    lock.acquire()
    ended, told = [], set()
    for outcome in run_all(jobs, make("inline", 1, 1), lambda index, news: told.add(index)):
        ended.append((outcome.case.seed, outcome.status))
        if len(ended) == 2:
            assert told == {1, 2}
            lock.release()
    assert ended == [(1, "done"), (2, "done"), (0, "done")]
    assert told == {0, 1, 2}


def test_two_processes_on_one_case_write_one_result(job):
    with PROCESSES.Pool(2) as pool:
        statuses = pool.map(run_in_process, [job, job])
    assert sorted(statuses) == ["done", "on file"]
    assert len(list(job.results.rglob("*.json"))) == 1


def run_in_process(job):
    return work(job, quiet, never).status
