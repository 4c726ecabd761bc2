"""From a case to its stored result: exact resumption, failures on file, locks, expected time."""

import dataclasses
import io
import json
import math
import mmap
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from rich.console import Console
from torch.overrides import TorchFunctionMode

from hwbench import executors, learner, pipeline, products
from hwbench.build import BuildError
from hwbench.cache import cache_folder
from hwbench.cli import progress
from hwbench.protocols import DataMissing, Interrupted
from hwbench.runner import result as result_
from hwbench.runner.campaign import Observer, estimate
from hwbench.runner.cost import Cost, net_costs, probe
from hwbench.runner.job import Job, run_folder
from hwbench.runner.machine import peak_memory, pick_device, reset_peak_memory
from hwbench.runner.plan import todo
from hwbench.runner.result import run_case
from hwbench.runner.stages import stage_file, stage_files
from hwbench.runner.work import work
from hwbench.sources import fingerprint
from hwbench.spec import cases
from hwbench.store import Store

PROCESSES = multiprocessing.get_context("forkserver")  # which imports torch and Lightning once
PROCESSES.set_forkserver_preload(["hwbench.runner", "hwbench.learner"])


def quiet(news):
    pass


def never():
    return False


@pytest.fixture
def job(folder, spec):
    case = cases(spec, "full")[0]
    return Job(case, folder / "results", folder / "cache", "cpu")


def test_a_case_becomes_a_result_that_can_be_redone(job):
    outcome = work(job, quiet, never)
    assert outcome.status == "done"
    store = Store(job.results)
    result = store.read(job.case)
    assert result.key == job.case.key
    assert result.metrics["log_likelihood"].value == outcome.metrics["log_likelihood"]
    assert result.metrics["log_likelihood"].k == 16
    assert result.fingerprint == fingerprint(job.case)
    assert result.steps == 60
    assert set(result.seconds) == {"train", "evaluate"}
    assert {"device", "threads", "torch", "python"} <= set(result.machine)
    assert len(result.curves["train/objective"].x) == 3
    assert len(result.curves["validation/log_likelihood"].x) == 3
    per_point = store.per_point(result)
    mean = float(per_point["log_px"].astype(np.float64).mean())
    assert mean == pytest.approx(result.metrics["log_likelihood"].value, abs=1e-5)
    text = store.path(job.case).read_text()
    assert json.loads(text)["case"]["model"]["use"] == "vae.VAE"
    assert len(text) < 50_000


def test_the_data_files_that_were_read_are_in_the_result(job, monkeypatch):
    """A set that comes from a table or from a copy of it says from which."""
    assert work(job, quiet, never).status == "done"
    assert Store(job.results).read(job.case).files == []
    monkeypatch.setattr("hwbench.datasets.synthetic.Bars.files", ("bars/copy.npz",))
    again = dataclasses.replace(job, results=job.results / "again")
    assert work(again, quiet, never).status == "done"
    assert Store(again.results).read(job.case).files == ["bars/copy.npz"]


def test_a_case_on_file_is_not_run_again(job):
    work(job, quiet, never)
    before = Store(job.results).path(job.case).read_bytes()
    assert work(job, quiet, never).status == "on file"
    assert Store(job.results).path(job.case).read_bytes() == before


def test_another_run_of_the_same_case_gives_the_same_numbers(job, folder):
    again = Job(job.case, folder / "elsewhere", folder / "other-cache", "cpu")
    a, b = work(job, quiet, never), work(again, quiet, never)
    assert a.metrics == b.metrics


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4])
def test_interrupted_anywhere_and_resumed_gives_the_same_result(job, folder, stop_after):
    """Stopped in training or evaluation; the second call has the numbers of an unbroken run."""
    whole = Job(job.case, folder / "whole", folder / "whole-cache", "cpu")
    expected = work(whole, quiet, never).metrics
    news = []
    outcome = work(job, news.append, lambda: len(news) >= stop_after)
    assert outcome.status == "interrupted"
    assert Store(job.results).read(job.case) is None
    assert work(job, quiet, never).metrics == expected


def test_an_interrupted_evaluation_counts_its_time(job):
    """The seconds on file are those of all parts of an evaluation, not of the last one."""
    news = []

    def begun():
        return any("evaluate" in item for item in news)

    assert work(job, news.append, begun).status == "interrupted"
    file = run_folder(job) / "evaluate-seconds"
    assert 0 < float(file.read_text()) < 60
    file.write_text("1000.0")
    assert work(job, quiet, never).status == "done"
    assert 1000 < Store(job.results).read(job.case).seconds["evaluate"] < 1060
    assert not file.exists()


def killed(job, after):
    """Run a job that saves at every block, and die by SIGKILL at its news number `after`."""
    learner.Checkpoint.due = property(lambda self: True)
    pipeline.FileScratch.__init__.__defaults__ = (0.0,)
    news = []

    def report(item):
        news.append(item)
        if len(news) == after:
            os.kill(os.getpid(), signal.SIGKILL)

    work(job, report, never)


@pytest.mark.parametrize("after", [2, 3, 5])
def test_a_killed_run_goes_on_from_its_last_save(job, folder, after):
    """SIGKILL in training or evaluation loses nothing but what came since the last save."""
    whole = Job(job.case, folder / "whole", folder / "whole-cache", "cpu")
    expected = work(whole, quiet, never).metrics
    process = PROCESSES.Process(target=killed, args=(job, after))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert Store(job.results).read(job.case) is None
    assert list(run_folder(job).glob("*"))
    news = []
    assert work(job, news.append, never).metrics == expected
    assert [item for item in news if "resumed" in item] == [{"resumed": True}] == news[:1]
    assert Store(job.results).read(job.case).resumed == 1


def test_an_interrupted_evaluation_keeps_what_it_has(tmp_path):
    """Between the half-minutely saves, what is done is written at the end."""
    scratch = pipeline.FileScratch(tmp_path)
    scratch.save("table", {"at": np.array(1)})
    scratch.save("table", {"at": np.array(2)})
    assert pipeline.FileScratch(tmp_path).load("table") is None
    scratch.flush()
    assert pipeline.FileScratch(tmp_path).load("table")["at"] == 2


def test_peak_memory_is_the_case_s_own():
    """A worker runs many cases: what an earlier one used does not count."""
    size = 64 << 20
    with mmap.mmap(-1, size) as large:  # what malloc frees may stay with the process
        for page in range(0, size, mmap.PAGESIZE):
            large[page] = 1
    before = peak_memory()
    reset_peak_memory()
    after = peak_memory()
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux can forget a peak")
    assert after < before - 32


def test_weights_that_share_memory_are_stored(job, monkeypatch):
    def tied(*arguments, make=pipeline.construct):
        built = make(*arguments)
        built.model.register_parameter("again", next(built.model.parameters()))
        return built

    monkeypatch.setattr(pipeline, "construct", tied)
    assert work(job, quiet, never).status == "done"


def test_a_batch_job_of_slurm_is_one_process_here(job, monkeypatch):
    """Lightning refuses `--ntasks` without `--ntasks-per-node` where it takes it for its own."""
    for name, value in (("SLURM_NTASKS", "4"), ("SLURM_JOB_NAME", "train")):
        monkeypatch.setenv(name, value)
    assert work(job, quiet, never).status == "done"


def test_the_cache_folder_is_the_same_from_everywhere(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for named in ("~/there", "there"):
        monkeypatch.setenv("HWBENCH_CACHE", named)
        assert cache_folder() == tmp_path / "there"


def test_checkpoints_go_once_the_result_is_stored(job):
    work(job, quiet, never)
    assert [p.name for p in run_folder(job).iterdir()] == ["model.safetensors"]


def failing(job, **changes):
    return Job(job.case.model_copy(update=changes), job.results, job.cache, "cpu")


def test_a_failure_is_on_file_with_its_reason_and_traceback(job):
    stage = {**job.case.train[0], "optimizer": {"use": "SGD", "lr": 1e30}}
    bad = failing(job, train=[stage])
    outcome = work(bad, quiet, never)
    assert outcome.status == "failed"
    assert "at step" in outcome.message
    failure = Store(job.results).read_failure(bad.case)
    assert failure.kind == "failed"
    assert "Diverged" in failure.traceback


@pytest.mark.parametrize("lr", [1e20, 1e38])  # the loss is absurd, or no number
def test_a_fit_that_diverges_is_a_failure(job, lr):
    bad = failing(
        job,
        data={"use": "digits.Digits", "pixels": "grey"},
        model={"use": "net.Net", "hidden": [4]},
        train=[{"fit": {"use": "supervised.Backpropagation", "epochs": 2, "lr": lr}}],
        evaluate=[{"use": "classification.ErrorRate"}],
    )
    outcome = work(bad, quiet, never)
    assert outcome.status == "failed"
    assert "it has diverged" in outcome.message
    assert Store(job.results).read(bad.case) is None


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


def test_a_likelihood_beyond_all_bounds_is_a_failure(job, monkeypatch):
    from hwbench.evaluators.importance import LogLikelihood
    from hwbench.protocols import Evaluation, Metric

    absurd = Evaluation(metrics={"log_likelihood": Metric(-1e6)})
    monkeypatch.setattr(LogLikelihood, "__call__", lambda *a, **k: absurd)
    outcome = work(job, quiet, never)
    assert outcome.status == "failed"
    assert "10 times worse than a fair coin" in outcome.message


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


def test_two_processes_on_one_case_write_one_result(job):
    with PROCESSES.Pool(2) as pool:
        statuses = pool.map(run_in_process, [job, job])
    assert sorted(statuses) == ["done", "on file"]
    assert len(list(job.results.rglob("*.json"))) == 1


def run_in_process(job):
    return work(job, quiet, never).status


def test_probe_times_steps_and_points(job):
    cost = probe(job, quiet, never)
    assert cost.train > 0
    assert cost.evaluate > 0
    assert cost.total == cost.train + cost.evaluate
    assert not list(job.results.rglob("*.json"))


def test_probe_knows_that_later_steps_may_take_longer(job, monkeypatch):
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
    assert begun == [1] * 3 + [9] * 2


def test_probe_counts_validations(job, monkeypatch):
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


def test_probe_sees_the_beginning_of_a_long_evaluation(job, monkeypatch):
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


def test_probe_does_not_take_what_comes_once_for_the_pace_of_an_evaluation(job, monkeypatch):
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


def test_probe_ends_when_told_to(job):
    assert probe(job, quiet, lambda: True) is None


def test_stages_run_one_after_the_other(folder, job):
    stage = job.case.train[0]
    two = failing(
        job, train=[stage, {**stage, "rule": {"use": "bounds.ELBO", "k": 1}, "epochs": 2}]
    )
    result, _ = run_case(two, quiet, never)
    assert result.steps == 100
    epochs = result.curves["train/objective"].x
    assert epochs == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("stop_after", [2, 4, 5])
def test_stages_resume_where_they_were(folder, job, stop_after):
    stage = job.case.train[0]
    two = failing(
        job, train=[stage, {**stage, "rule": {"use": "bounds.ELBO", "k": 1}, "epochs": 2}]
    )
    whole = Job(two.case, folder / "w", folder / "wc", "cpu")
    expected = work(whole, quiet, never).metrics
    news = []
    assert work(two, news.append, lambda: len(news) >= stop_after).status == "interrupted"
    assert work(two, quiet, never).metrics == expected


STAGES = [
    {
        "rule": {"use": "bounds.IWAE", "k": k},
        "optimizer": {"use": "Adam", "lr": 0.01},
        "batch_size": 20,
        "steps": 60,
    }
    for k in (1, 5, 2)
]


def trained(job, stages, **changes):
    """Return the job with other stages; its results apart, its cache the same."""
    case = job.case.model_copy(update={"train": stages, **changes})
    return dataclasses.replace(job, case=case)


@pytest.mark.parametrize("begun", [STAGES[:1], STAGES[:2], STAGES])
def test_stages_that_another_case_has_trained_are_not_trained_again(folder, job, begun):
    """A case that begins like one before, or is measured otherwise, has the same numbers."""
    alone = dataclasses.replace(trained(job, STAGES), cache=folder / "alone")
    expected = work(alone, quiet, never).metrics
    assert work(trained(job, begun, evaluate=[]), quiet, never).status == "done"
    news = []
    again = dataclasses.replace(trained(job, STAGES), results=folder / "again")
    assert work(again, news.append, never).metrics == expected
    assert {item["stage"] for item in news if "stage" in item} == set(range(len(begun), 3))
    assert Store(again.results).read(again.case).steps == 180  # all that the numbers rest on


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bfloat16_goes_by_way_of_float32_where_the_cpu_has_none(
    precision, native, job, monkeypatch
):
    """As well when a run is timed as when it trains; and the result says so."""
    monkeypatch.setattr(products, "native", lambda device: native)
    seen = set()
    monkeypatch.setattr(
        products.RoundedProducts,
        "__enter__",
        lambda self: seen.add("entered") or TorchFunctionMode.__enter__(self),
    )
    rule = {"use": "boltzmann.MeanFieldPCD", "chains": 10, "precision": precision}
    stage = {"rule": rule, "optimizer": {"use": "SGD", "lr": 0.01}, "batch_size": 50, "epochs": 1}
    low = trained(job, [stage], model={"use": "dbm.DBM", "layers": [4, 3]}, evaluate=[])
    wanted = {"entered"} if precision == "bfloat16" and not native else set()
    assert probe(low, quiet, never).train > 0
    assert seen == wanted
    seen.clear()
    assert work(low, quiet, never).status == "done"
    assert seen == wanted
    assert ("bfloat16" in Store(low.results).read(low.case).machine) is bool(wanted)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"data": {"use": "digits.Digits", "pixels": "fixed"}},
        {"model": {"use": "vae.VAE", "latent": 3, "hidden": [5]}},
    ],
)
def test_stages_of_other_seeds_data_and_models_are_not_borrowed(job, changes):
    work(trained(job, STAGES[:1]), quiet, never)
    news = []
    work(trained(job, STAGES[:2], **changes), news.append, never)
    assert {item["stage"] for item in news if "stage" in item} == {0, 1}


@pytest.mark.parametrize("changed", ["machine", "sources", "files"])
def test_stages_of_other_machines_code_and_files_are_not_borrowed(changed, job, monkeypatch):
    before = stage_file(job, 1)
    assert stage_file(job, 1) == before
    if changed == "machine":
        monkeypatch.setattr("hwbench.runner.stages.machine", lambda device: {"torch": "another"})
    elif changed == "sources":
        monkeypatch.setattr("hwbench.runner.stages.fingerprint", lambda case: "another")
    else:
        monkeypatch.setattr("hwbench.datasets.synthetic.Bars.files", ("bars/copy.npz",))
    assert stage_file(job, 1) != before


def test_what_is_lent_is_the_end_of_a_stage_however_often_a_run_saves(job, monkeypatch):
    monkeypatch.setattr(learner.Checkpoint, "due", property(lambda self: True))
    job = trained(job, STAGES[:2])
    assert work(job, quiet, never).status == "done"
    for stages in (1, 2):
        saved = learner.Checkpoint(stage_file(job, stages)).load()[0]
        assert (saved.stage, saved.step, saved.steps_total) == (stages, 0, 60 * stages)


def test_what_is_fitted_whole_is_not_lent_but_the_stages_before_it_are(job):
    rule = {"use": "pretraining.GreedyCD"}
    job = trained(
        job,
        [{**STAGES[0], "rule": rule}, {"fit": {"use": "supervised.Backpropagation", "epochs": 1}}],
        data={"use": "digits.Digits", "pixels": "grey"},
        model={"use": "finetuned.FineTunedDBM", "layers": [4, 3]},
        evaluate=[{"use": "classification.ErrorRate"}],
    )
    assert work(job, quiet, never).status == "done"
    assert stage_file(job, 1).exists()
    assert not stage_file(job, 2).exists()


def test_a_run_does_not_fail_where_nothing_can_be_lent(job, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "hardlink_to", full)
    assert work(trained(job, STAGES[:2]), quiet, never).status == "done"
    assert not list(job.cache.glob("stages/*"))


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


def test_an_estimate_knows_the_stages_of_workers_with_other_threads(job):
    """Their names hold the number of threads; the process that plans has its own."""

    jobs = [trained(job, STAGES[:1]), trained(job, STAGES[:2])]
    executor = executors.make("local", 1, torch.get_num_threads() + 1)
    assert [done.outcome.status for done in executor.map("hwbench.runner.work:work", jobs[:1])] == [
        "done"
    ]
    found = estimate(jobs, executor, 1, True, Observer())
    assert [cost.stages[0] for cost in found] == [0, 0]
    assert found[1].stages[1] > 0


def test_an_estimate_tells_of_an_evaluation_that_cannot_work(job, monkeypatch):
    """Before the training that it would come after."""

    bad = failing(
        job,
        data={"use": "digits.Digits", "pixels": "grey"},
        model={"use": "rbm.RBM", "hidden": 2, "grey": True},
        train=[{"rule": {"use": "contrastive.ContrastiveDivergence"}, "epochs": 1}],
        evaluate=[{"use": "completion.BoltzmannCompletion", "size": [16, 8]}],
    )
    told = []
    observer = Observer()
    monkeypatch.setattr(observer, "trial_failed", lambda *news: told.append(news))
    left, right = estimate([bad, job], executors.make("inline", 1, 1), 1, True, observer)
    assert left is None
    assert right.total > 0
    ((case, reason),) = told
    assert case == bad.case
    assert reason.startswith("ValueError: ")
    assert "of 64 units are not of 16 x 8" in reason


@pytest.mark.parametrize("fetched", [True, False])
def test_a_case_without_its_data_costs_nothing_once_they_could_not_be_had(
    job, monkeypatch, fetched
):
    """Before, its cost is not known."""

    other = failing(job, data={"use": "mnist.MNIST", "pixels": "fixed"})
    is_here = "hwbench.runner.campaign.is_here"
    monkeypatch.setattr(is_here, lambda data: data["use"] != "mnist.MNIST")
    executor = executors.make("inline", 1, 1)
    here, gone = estimate([job, other], executor, 1, fetched, Observer())
    assert here.total > 0
    assert gone == (Cost((0.0,), 0.0) if fetched else None)


def test_a_stage_that_was_not_finished_is_not_lent(job):
    news = []
    first = trained(job, STAGES[:2])
    assert work(first, news.append, lambda: len(news) >= 4).status == "interrupted"
    assert {item["stage"] for item in news} == {0, 1}
    assert stage_file(first, 1).exists()
    assert not stage_file(first, 2).exists()


def test_a_broken_file_of_a_stage_is_trained_anew(folder, job):
    expected = work(trained(job, STAGES[:2]), quiet, never).metrics
    again = dataclasses.replace(trained(job, STAGES[:2]), results=folder / "again")
    for stages in (1, 2):
        stage_file(again, stages).write_bytes(b"cut off")
    assert work(again, quiet, never).metrics == expected


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [3, 7])  # within a layer, and within joint training
def test_layers_of_moving_images_resume_where_they_were(folder, job, stop_after):
    """Moves, draws and chains go on as they would have."""
    rules = [{"use": "pretraining.GreedyCD", "layer": layer} for layer in (1, 2, 3)]
    rules.append({"use": "boltzmann.MeanFieldPCD", "chains": 10})
    sgd = {"use": "SGD", "lr": 0.01, "momentum": 0.5}
    stages = [{"rule": rule, "optimizer": sgd, "batch_size": 20, "steps": 60} for rule in rules]
    deep = failing(
        job,
        data={"use": "digits.RealDigits", "translations": True},
        model={"use": "realnet.RealFineTunedDBM", "layers": [8, 6, 4]},
        train=[*stages, {"fit": {"use": "supervised.Backpropagation", "epochs": 1}}],
        evaluate=[{"use": "classification.ErrorRate"}],
    )
    whole = Job(deep.case, folder / "w", folder / "wc", "cpu")
    expected = work(whole, quiet, never).metrics
    news = []
    assert work(deep, news.append, lambda: len(news) >= stop_after).status == "interrupted"
    assert work(deep, quiet, never).metrics == expected


def test_methods_of_a_table_see_the_same_test_points(folder, spec):
    """Rows pair by seed: the same held-out points, although their models differ."""
    found = []
    for case in cases(spec, "full")[:2]:
        built = pipeline.construct(case, pick_device("cpu"))
        found.append(built.splits.test.values)
    assert (found[0] == found[1]).all()


def test_interrupted_is_raised_by_a_fit_that_is_stopped(job, monkeypatch):
    with pytest.raises(Interrupted):
        run_case(job, quiet, lambda: True)


def test_an_unknown_device_is_one_message():
    with pytest.raises(BuildError, match="device 'cuda:99' cannot be used"):
        pick_device("cuda:99")


def test_curves_are_thinned_but_keep_their_ends():
    points = [[float(i), math.sin(i)] for i in range(1000)]
    thin = result_.thin(points)
    assert len(thin["x"]) == 200
    assert (thin["x"][0], thin["x"][-1]) == (0.0, 999.0)
