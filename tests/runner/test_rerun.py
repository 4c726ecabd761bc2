"""Cases that have a result are run again where asked; the newest counts, and the old one stays."""

import dataclasses
import sys

import numpy as np
import pytest

from hwbench.build import allow_plugins
from hwbench.datasets import files
from hwbench.runner.plan import RERUNS, State, Todo, state, states, todo
from hwbench.runner.work import work
from hwbench.sources import fingerprint
from hwbench.spec import UserError, cases
from hwbench.store import Failure, Result, Store, StoredMetric
from hwbench.verdict.evidence import StoredResults
from tests.runner.jobs import never, quiet


@pytest.fixture
def other_code(monkeypatch):
    """other_code(): from now on, today's code has another fingerprint."""

    def change(to="f" * 16):
        for room in ("plan", "result", "job", "stages"):
            monkeypatch.setattr(f"hwbench.runner.{room}.fingerprint", lambda case: to)

    return change


def rerun(job, kind):
    """Run a job again as a campaign does."""
    ((case, replaces),) = todo([job.case], Store(job.results), [kind]).run
    return work(dataclasses.replace(job, case=case, replaces=replaces), quiet, never)


def test_a_result_of_other_code_is_told_and_replaced_when_asked(job, spec, other_code):
    store = Store(job.results)
    work(job, quiet, never)
    first = store.path(job.case)
    before = first.read_bytes(), first.with_suffix(".npz").read_bytes()
    assert todo([job.case], store, ["changed"]).run == []
    other_code()
    assert todo([job.case], store) == Todo([], [], [job.case], [])
    assert rerun(job, "changed").status == "done"
    again = first.with_name(f"{first.stem}-ffffffff.json")
    assert sorted(first.parent.glob("*.json")) == sorted([first, again])
    assert (first.read_bytes(), first.with_suffix(".npz").read_bytes()) == before
    newest = store.read(job.case)
    assert (newest.rerun, newest.fingerprint, newest.path.name) == (1, "f" * 16, again.name)
    assert store.results() == ([newest], [])
    assert store.per_point(newest).keys() == np.load(again.with_suffix(".npz")).keys()
    (group,) = StoredResults(spec, store).evidence(spec.rows[0], "full").runs
    assert group == [newest]
    assert state(job.case, store) == State("done", stored=again.name)


@pytest.mark.parametrize(
    ("result", "failure", "again"),
    [
        ("2026-01-02T10:00:00+00:00", "2026-01-02T10:00:01+00:00", "old trouble"),
        ("2026-01-02T10:00:00+00:00", "2026-01-02T10:00:00+00:00", "old trouble"),
        ("2026-01-02T10:00:00+00:00", "2026-01-02T09:59:59+00:00", ""),
        ("2026-01-02T10:00:00+00:00", "2026-01-02T11:30:00+02:00", ""),
        ("2026-01-02T10:00:00+02:00", "2026-01-02T09:00:00", "old trouble"),
        ("2026-01-02T10:00:00+00:00", "", ""),
        ("", "2026-01-02T10:00:00+00:00", "old trouble"),
    ],
)
def test_a_failure_before_the_result_is_no_failed_rerun(job, result, failure, again):
    """In whatever time zones; times are whole seconds, and a success removes failures."""
    store = Store(job.results)
    metrics = {"log_likelihood": StoredMetric(value=-5.0)}
    known = {"case": job.case, "key": job.case.key}
    code = fingerprint(job.case)
    store.write(Result(**known, fingerprint=code, metrics=metrics, started=result))
    store.write_failure(Failure(**known, kind="failed", reason="old trouble", started=failure))
    stored = store.path(job.case).name
    assert state(job.case, store) == State("done", stored=stored, again=again)


def test_a_rerun_that_another_process_has_finished_is_not_run_again(job, other_code):
    work(job, quiet, never)
    other_code()
    late = dataclasses.replace(job, replaces=Store(job.results).path(job.case).name)
    assert rerun(job, "changed").status == "done"
    assert work(late, quiet, never).status == "on file"


def test_each_rerun_has_a_file_and_the_same_code_the_same_numbers(job):
    store = Store(job.results)
    work(job, quiet, never)
    metrics = [store.read(job.case).metrics]
    for _ in range(2):
        assert rerun(job, "all").status == "done"
        metrics.append(store.read(job.case).metrics)
    stem, code = store.path(job.case).stem, fingerprint(job.case)[:8]
    names = sorted(p.name for p in store.path(job.case).parent.glob("*.json"))
    assert names == sorted([f"{stem}.json", f"{stem}-{code}.json", f"{stem}-{code}-2.json"])
    assert metrics[0] == metrics[1] == metrics[2]
    assert store.read(job.case).rerun == 2


def test_the_kinds_are_states_of_cases_that_a_run_leaves_alone():
    named = set().union(*RERUNS.values())
    assert RERUNS["all"] == named
    assert not any(State(kind).runs() for kind in named)
    assert all(State(kind).runs(["all"]) for kind in named)
    assert State("stale").runs()


PLUGIN = """
import torch
from hwbench.datasets import files
from hwbench.protocols import Dataset, Splits, TestSplit, TrainSplit, ValidationSplit

class Points(Dataset):
    shape = (4,)
    files = ("points/points.npz",)

    def load(self, seed):
        x = torch.from_numpy(files.arrays(self.files[0])["x"])
        return Splits(TrainSplit(x), ValidationSplit(x), TestSplit(x))
"""
DECLARED = """
points:
  about: points
  origin: me
  licence: none
  split: all
  files: {points.npz: {}}
"""


@pytest.fixture
def plugin(folder, monkeypatch):
    """A package in the current folder that declares a data file without a checksum."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("pointsets", "pointsets.sets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("hwbench.build._plugins", set())
    package = folder / "pointsets"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sets.py").write_text(PLUGIN)
    (package / "checksums.yaml").write_text(DECLARED)
    return package


def points(folder, ones):
    (folder / "data" / "points").mkdir(parents=True, exist_ok=True)
    x = np.zeros((100, 4), np.uint8)
    x[:ones] = 1
    np.savez(folder / "data" / "points" / "points.npz", x=x)


def test_a_replaced_data_file_of_a_plugin_is_noticed(folder, job, plugin):
    """And no checkpoint or shared stage of the old file is used with the new one."""
    points(folder, 10)
    case = job.case.model_copy(update={"data": {"use": "pointsets.sets.Points"}})
    own = dataclasses.replace(job, case=case, plugins=("pointsets",))
    store = Store(job.results)
    assert work(own, quiet, never).status == "done"
    old = store.read(case)
    assert old.checksums["points/points.npz"].startswith("sha256:")
    assert state(case, store).kind == "done"
    points(folder, 90)
    assert state(case, store) == State("replaced", "points/points.npz", stored=old.path.name)
    assert todo([case], store).replaced == [(case, "points/points.npz")]
    assert rerun(own, "stale").status == "done"
    new = store.read(case)
    assert new.checksums != old.checksums
    assert new.metrics["log_likelihood"].value != old.metrics["log_likelihood"].value
    assert not new.resumed
    assert new.steps == old.steps
    assert states([case], store)[0].kind == "done"


def test_hwbenchs_own_files_are_recorded_by_their_declared_checksum(job):
    work(job, quiet, never)
    assert Store(job.results).read(job.case).checksums == {}  # bars have no files
    name = "mnist/t10k-labels-idx1-ubyte"
    known = f"sha256:{files.declared()[name].plain.sha256}"
    assert files.checksums([name, "no/file"]) == {name: known}
    assert files.replaceable([name]) == []


def test_a_plugin_cannot_declare_a_set_of_hwbench(plugin):
    (plugin / "checksums.yaml").write_text(DECLARED.replace("points:\n  about", "mnist:\n  about"))
    allow_plugins(["pointsets"])
    with pytest.raises(UserError, match="mnist is already the name of a data set"):
        files.declared()


def test_every_case_of_the_plan_is_somewhere(job, spec):
    store = Store(job.results)
    work(job, quiet, never)
    planned = cases(spec, "full")
    found = todo(planned, store)
    assert [case for case, _ in found.run] == [c for c in planned if c != job.case]
