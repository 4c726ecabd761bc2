"""The Ray executor, on a cluster of this machine; run where Ray is installed."""

from pathlib import Path

import pytest

from hwbench.executors.ray import RayExecutor
from hwbench.spec import UserError

pytestmark = pytest.mark.slow


@pytest.fixture
def executor(monkeypatch):
    ray = pytest.importorskip("ray")
    folder = str(Path(__file__).parent)
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": folder}})
    yield RayExecutor(2)
    ray.shutdown()


def test_outcomes_errors_and_dead_tasks(executor):
    found = {d.index: d for d in executor.map("executor_functions:die_on_two", [1, 2, 3])}
    assert [found[i].outcome for i in (0, 2)] == [1, 3]
    assert "died" in found[1].error
    failed = {d.index: d for d in executor.map("executor_functions:fail_on_two", [2])}
    assert "ValueError: two" in failed[0].error


def test_news_and_stopping(executor):
    news = []

    def stop(index, said):
        news.append(said)
        executor.stop()

    found = list(executor.map("executor_functions:until_stopped", range(4), stop))
    assert news
    assert {d.outcome for d in found} <= {"stopped", "never told"}
    assert len(found) <= 2


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'hwbench\[ray\]'"):
        RayExecutor(1)
