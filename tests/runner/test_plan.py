"""Which cases run, and which are left alone."""

from hwbench.protocols import DataMissing
from hwbench.runner.plan import todo
from hwbench.runner.work import work
from hwbench.store import Store
from tests.runner.jobs import failing, never, quiet


def test_failed_cases_are_left_alone_unless_asked(job):
    stage = {**job.case.train[0], "optimizer": {"use": "SGD", "lr": 1e30}}
    bad = failing(job, train=[stage])
    work(bad, quiet, never)
    store = Store(job.results)
    assert todo([bad.case], store, retry_failed=False) == ([], [bad.case])
    assert todo([bad.case], store, retry_failed=True) == ([bad.case], [])


def test_missing_data_is_a_verdict_that_is_tried_again(job, monkeypatch):
    def gone(self, seed):
        raise DataMissing("no such file; put it there")

    monkeypatch.setattr("hwbench.datasets.synthetic.Bars.load", gone)
    outcome = work(job, quiet, never)
    assert (outcome.status, outcome.message) == ("missing", "no such file; put it there")
    store = Store(job.results)
    assert store.read_failure(job.case).kind == "missing"
    assert todo([job.case], store, retry_failed=False) == ([job.case], [])
    monkeypatch.undo()
    assert work(job, quiet, never).status == "done"
    assert store.read_failure(job.case) is None
