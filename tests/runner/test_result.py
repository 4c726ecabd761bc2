"""A case becomes a result, also in stages and after interruptions: to the bit the same."""

import dataclasses
import json
import math
import os
import signal

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from hwbench import learner, pipeline, products
from hwbench.protocols import Interrupted
from hwbench.runner import result as result_
from hwbench.runner.cost import probe
from hwbench.runner.job import Job, run_folder
from hwbench.runner.machine import pick_device
from hwbench.runner.result import run_case
from hwbench.runner.work import work
from hwbench.sources import fingerprint
from hwbench.spec import cases
from hwbench.store import Store
from tests.runner.jobs import PROCESSES, failing, never, quiet, trained


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


def test_weights_that_share_memory_are_stored(job, monkeypatch):
    def tied(*arguments, make=pipeline.construct):
        built = make(*arguments)
        built.model.register_parameter("again", next(built.model.parameters()))
        return built

    monkeypatch.setattr(pipeline, "construct", tied)
    assert work(job, quiet, never).status == "done"


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


def test_a_likelihood_beyond_all_bounds_is_a_failure(job, monkeypatch):
    from hwbench.evaluators.importance import LogLikelihood
    from hwbench.protocols import Evaluation, Metric

    absurd = Evaluation(metrics={"log_likelihood": Metric(-1e6)})
    monkeypatch.setattr(LogLikelihood, "__call__", lambda *a, **k: absurd)
    outcome = work(job, quiet, never)
    assert outcome.status == "failed"
    assert "10 times worse than a fair coin" in outcome.message


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


def test_curves_are_thinned_but_keep_their_ends():
    points = [[float(i), math.sin(i)] for i in range(1000)]
    thin = result_.thin(points)
    assert len(thin["x"]) == 200
    assert (thin["x"][0], thin["x"][-1]) == (0.0, 999.0)


def test_samples_of_both_signs_are_grey_at_zero(job, monkeypatch):
    """The largest of either sign is an end of the scale; values from 0 to 1 stay what they are."""
    for values, expected in (
        ([-0.5, 0.0, 0.25, 0.5], [0, 128, 191, 255]),
        ([0.0, 0.2, 0.4, 1.0], [0, 51, 102, 255]),
    ):
        row = torch.tensor(values).repeat(4)  # 16 pixels
        monkeypatch.setattr("hwbench.models.vae.VAE.sample", lambda self, n, row=row: row[None])
        _, per_point = run_case(job, quiet, never)
        assert per_point["samples"][0, :4].tolist() == expected
