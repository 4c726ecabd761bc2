"""Signals, killed workers and killed nodes under Ray lose no result; `make ray-test` runs this."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hwbench.executors.ray import RayExecutor, gpu_share
from hwbench.spec import cases, load
from hwbench.store import Store
from tests.cli.conftest import edit

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join([str(ROOT), str(ROOT / "tests/executors")])


@pytest.fixture
def start():
    """start(folder, *options): a run of cases that take some seconds each; killed at the end."""
    started = []

    def begin(folder, *options):
        started.append(_start(folder, *options))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def _start(folder, *options):
    command = [sys.executable, "-m", "hwbench", "run", "tiny", "--profile", "smoke", "--seeds", "1"]
    command += options
    own = os.environ | {"PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=own, stderr=subprocess.PIPE, text=True)


def wait_for(what, process, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
    return found


def workers(process):
    """Return the processes of Ray's tasks below a driver."""
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    lines = [line.split(None, 1) for line in listing.stdout.splitlines()]
    return [int(pid) for pid, args in lines if args.startswith("ray::") and "_task" in args]


@pytest.fixture
def long(folder):
    """The tiny table with longer training, so that there is something to interrupt."""
    edit(folder, "smoke: {train: {epochs: 1}}", "smoke: {train: {epochs: 300}}")
    return folder


def numbers(folder):
    spec = load(folder / "benchmarks/tiny/table.yaml")
    found = [Store(folder / "results").read(case) for case in cases(spec, "smoke", seeds=1)]
    assert all(found)
    return [result.metrics["log_likelihood"].value for result in found]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_driver_exits_with_3_and_resumes(long, start, number, tried):
    ray_options = ("--executor", "ray", "--jobs", "2")
    process = start(long, *ray_options)
    wait_for(lambda: list((long / "cache/runs").rglob("*")) and workers(process), process)
    time.sleep(3)
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 3, told
    assert list((long / "cache/runs").rglob("state.safetensors"))
    again = start(long, *ray_options)
    again.communicate(timeout=600)
    assert again.returncode == 0
    interrupted = numbers(long)
    (long / "results").rename(long / "interrupted")
    (long / "cache").rename(long / "old-cache")
    whole = start(long, "--executor", "local", "--jobs", "2")
    whole.communicate(timeout=600)
    assert interrupted == numbers(long)
    tried(f"{signal.Signals(number).name} under Ray: exit code 3, resumed, the same numbers")


def test_a_killed_worker_takes_only_its_own_case(long, start, tried):
    process = start(long, "--executor", "ray", "--jobs", "2")
    (first, *_) = wait_for(lambda: workers(process), process)
    time.sleep(1)
    os.kill(first, signal.SIGKILL)
    _, told = process.communicate(timeout=600)
    assert process.returncode == 4, told
    assert told.count("the next run tries again") >= 1
    again = start(long, "--executor", "ray", "--jobs", "2")
    again.communicate(timeout=600)
    assert again.returncode == 0
    numbers(long)
    tried("a killed worker under Ray: its case is told and run by the next run")


def test_a_killed_node_takes_only_its_own_items(tried):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        environment = {"env_vars": {"PYTHONPATH": PATH}}
        # With two nodes of one address, Ray may put the driver on the one that will be killed.
        ray.init(address=cluster.address, runtime_env=environment, log_to_driver=False)
        other = cluster.add_node(num_cpus=1)
        executor, begun = RayExecutor(2), []

        def news(index, told):
            begun.append(index)
            if len(begun) == 2:
                cluster.remove_node(other, allow_graceful=False)

        outcomes = {}
        for done in executor.map("executor_functions:until_stopped", range(2), news):
            outcomes[done.index] = done
            executor.stop()
        assert sum(done.error is not None for done in outcomes.values()) == 1
        (left,) = (done.outcome for done in outcomes.values() if done.error is None)
        tried(f"a killed node of two: one item lost, the other {left}")
        assert left in ("stopped", "never told")  # Ray may need long to see that a node is gone
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_cases_share_a_gpu():
    assert [gpu_share(n, 1) for n in (1, 2, 4, 9)] == [1.0, 0.5, 0.25, 0.25]
