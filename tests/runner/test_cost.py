"""Costs of cases, timed on the spot."""

import dataclasses
import io
import time

import pytest
import torch
from rich.console import Console

from hwbench import pipeline
from hwbench.cli import progress
from hwbench.learner import Learner
from hwbench.runner.cost import BUSY, Cost, net_costs, probe, until_stop
from hwbench.runner.stages import stage_files
from hwbench.runner.work import work
from tests.runner.jobs import STAGES, failing, never, quiet, trained


@pytest.fixture
def wall(monkeypatch):
    """Sleep stands for work: it takes no time of the processor."""
    monkeypatch.setattr("hwbench.runner.cost.clock_of", lambda device: time.monotonic)


def test_probe_times_steps_and_points(job):
    cost = probe(job, quiet, never)
    assert cost.train > 0
    assert cost.evaluate > 0
    assert cost.total == cost.train + cost.evaluate
    assert not list(job.results.rglob("*.json"))


def test_probe_knows_that_later_steps_may_take_longer(job, monkeypatch, wall):
    """CD-1 for half of a training and CD-9 for the other half take five times CD-1 in all."""
    begun = []

    def slow(self, model, x):
        time.sleep(0.01 * self.k)
        begun.append(self.k)
        return torch.zeros(())

    monkeypatch.setattr("hwbench.rules.contrastive.ContrastiveDivergence.backward", slow)
    rule = {"use": "contrastive.ContrastiveDivergence", "k": 9, "k_schedule": [[0, 1], [0.5, 9]]}
    stage = {"rule": rule, "optimizer": {"use": "SGD", "lr": 0.1}, "batch_size": 50, "steps": 1000}
    grown = failing(
        job,
        model={"use": "rbm.RBM", "hidden": 2},
        train=[stage],
        evaluate=[{"use": "ais.AIS", "chains": 2, "schedule": [[0, 1, 2]]}],
    )
    assert 50 <= probe(grown, quiet, never).train < 100
    assert begun == sorted(begun)
    assert set(begun) == {1, 9}


def test_probe_counts_validations(job, monkeypatch, wall):
    """Of 5 epochs, after every other one and at the end."""
    seen = []

    def slow(self, model, points, *, seed, progress):
        seen.append((len(points), model.training))
        time.sleep(0.2)

    monkeypatch.setattr("hwbench.evaluators.importance.Bound.__call__", slow)
    monkeypatch.setattr("hwbench.runner.cost._pace", lambda learner, x: 0.0)
    (stage,) = job.case.train
    case = job.case.model_copy(update={"train": [stage | {"epochs": 5, "validate_every": 2}]})
    assert 0.6 <= probe(dataclasses.replace(job, case=case), quiet, never).train < 0.8
    validation = pipeline.construct(case, torch.device("cpu")).splits.validation
    assert seen == [(len(validation), False)]


def test_probe_sees_the_beginning_of_a_long_evaluation(job, monkeypatch, wall):
    """Annealing, say, has no points to leave out: its first seconds tell of the rest."""
    steps = []

    def slow(self, model, points, *, seed, progress):
        for step in range(1000):
            time.sleep(0.01)
            steps.append(step)
            progress((step + 1) / 1000)

    monkeypatch.setattr("hwbench.evaluators.importance.LogLikelihood.__call__", slow)
    monkeypatch.setattr("hwbench.runner.cost.TIMED", 0.05)
    cost = probe(job, quiet, never)
    assert len(steps) <= 7  # the pace is that after the first report
    assert 10 <= cost.evaluate < 60


def test_probe_does_not_take_what_comes_once_for_the_pace_of_an_evaluation(job, monkeypatch, wall):
    def prepared(self, model, points, *, seed, progress):
        time.sleep(0.5)
        for step in range(1000):
            progress(step / 1000)
            time.sleep(0.002)

    monkeypatch.setattr("hwbench.evaluators.importance.LogLikelihood.__call__", prepared)
    monkeypatch.setattr("hwbench.runner.cost.TIMED", 0.3)
    assert 2 <= probe(job, quiet, never).evaluate < 50  # by its first second: 500


def test_a_fit_cannot_be_timed_and_its_progress_is_shown_all_the_same(job, monkeypatch):
    fitted = failing(
        job,
        model={"use": "mixture.BernoulliMixture", "components": 3},
        train=[{"fit": {"use": "em.EM", "iterations": 2}}],
        evaluate=[{"use": "exact.ExactLogLikelihood"}],
    )
    assert work(fitted, quiet, never).status == "done"
    assert probe(fitted, quiet, never) is None
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(progress, "QUIET_EVERY", 0.0)
    with progress.Display(console, [fitted], [None]) as display:
        display.started -= 10
        display.news(0, {"stage": 0, "fit": 0.5, "note": "iteration 1"})
    assert "left" in console.file.getvalue()
    assert "fitting, 50% iteration 1" in console.file.getvalue()


def test_an_estimate_is_that_of_a_core_to_itself(job, monkeypatch):
    """While other processes run, this one waits: the estimate stays, and the wait is told."""

    def waiting(self, x, own=Learner.run_steps):
        time.sleep(0.05)
        return own(self, x)

    assert torch.get_num_threads() == 1
    idle = probe(job, quiet, never)
    monkeypatch.setattr(Learner, "run_steps", waiting)
    busy = probe(job, quiet, never)
    assert busy.wait > BUSY
    assert 0.5 < busy.train / idle.train < busy.wait / 3  # caches are cold after a wait


def test_probe_ends_when_told_to(job):
    assert probe(job, quiet, lambda: True) is None


def test_an_estimate_counts_a_stage_once_and_not_where_it_is_on_file(job):
    """Rows that share stages, another seed, and a case whose cost is not known."""
    jobs = [
        trained(job, STAGES[:1]),
        trained(job, STAGES[:2]),
        trained(job, STAGES, seed=1),
        trained(job, [*STAGES[:2], {"fit": {"use": "em.EM"}}]),
        trained(job, STAGES),
    ]
    full = [Cost((1.0, 2.0, 4.0)[: len(j.case.train)], 8.0) for j in jobs]
    full[3] = Cost((1.0, 2.0, None), 8.0)
    left = [stage_files(j, quiet, never) for j in jobs]
    found = net_costs([*full[:4], None], left, at_once=1)
    assert [c.stages for c in found[:4]] == [(1.0,), (0, 2.0), (1.0, 2.0, 4.0), (0, 0, None)]
    assert [c.evaluate for c in found[:4]] == [8.0] * 4
    assert found[4] is None
    side_by_side = net_costs(full, left, at_once=2)  # the second begins with the first
    assert [c.stages for c in side_by_side[:2]] == [(1.0,), (1.0, 2.0)]
    assert [c.stages for c in side_by_side[3:]] == [(0, 0, None), (0, 0, 4.0)]
    work(jobs[1], quiet, never)
    left = [stage_files(j, quiet, never) for j in jobs[:2]]
    found = net_costs(full[:2], left, at_once=2)
    assert [c.stages for c in found] == [(0.0,), (0.0, 0.0)]


@pytest.mark.parametrize(
    ("ran", "seconds", "share"),
    [
        ([30, 50], 2.4, 0.3),  # 40 on average, of which the first stage takes 10
        ([110], 8.0, 1.0),
        ([500], 8.0, 1.0),
        ([5], 0.08, 0.01),  # of an older first stage, perhaps
    ],
)
def test_training_is_expected_to_stop_where_that_of_other_seeds_did(job, ran, seconds, share):
    plain, stopping = STAGES[0], STAGES[1] | {"stop": {"patience": 3}}
    own = trained(job, [plain, stopping, {"fit": {"use": "em.EM"}}]).case
    cost = Cost((1.0, 8.0, None), 16.0, steps=(10, 100, 0))
    expected = until_stop(cost, own, ran)
    assert expected.stages == (1.0, pytest.approx(seconds), None)
    assert expected.shares == (1.0, pytest.approx(share), 1.0)
    assert expected.evaluate == 16.0


def test_training_is_expected_to_take_all_steps_where_nothing_else_is_known(job):
    """No other seed, several stages that stop, none that stops, or a cost without steps."""
    stopping = STAGES[1] | {"stop": {"patience": 3}}
    cost = Cost((1.0, 8.0), 2.0, steps=(10, 100))
    one, two, none = (
        trained(job, stages).case
        for stages in ([STAGES[0], stopping], [stopping, stopping], STAGES[:2])
    )
    assert until_stop(cost, one, [40]) != cost
    assert until_stop(cost, one, []) == cost
    assert until_stop(cost, two, [40]) == cost
    assert until_stop(cost, none, [40]) == cost
    unknown = Cost((0.0, 0.0), 0.0)
    assert until_stop(unknown, one, [40]) == unknown
