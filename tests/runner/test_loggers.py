"""Loggers get the curves and the final metrics of a run, and change nothing in it."""

import contextlib
import csv
import dataclasses
from unittest.mock import MagicMock

import pytest

from hwbench.runner.loggers import LOGGERS, Log, check_logger
from hwbench.runner.work import work
from hwbench.spec import SpecError, UserError
from hwbench.store import Store
from tests.runner.jobs import STAGES, never, quiet, trained


def test_a_csv_file_has_the_curve_and_the_final_metrics(job, folder):
    staged = trained(job, STAGES[:2])
    logged = dataclasses.replace(staged, logger="csv")
    assert work(logged, quiet, never).status == "done"
    result = Store(job.results).read(staged.case)
    (path,) = (folder / "logs" / "tiny" / "table" / "IWAE").glob("*/metrics.csv")
    lines = list(csv.DictReader(path.read_text().splitlines()))
    steps = [int(line["step"]) for line in lines]
    assert steps == sorted(steps)
    assert steps[-1] == result.steps == 120
    assert float(lines[-1]["log_likelihood"]) == result.metrics["log_likelihood"].value
    curve = [line["train/objective"] for line in lines if line["train/objective"]]
    assert len(curve) > 2
    assert (path.parent / "hparams.yaml").read_text().count("rule") == 4
    plain = dataclasses.replace(staged, results=folder / "plain", cache=folder / "other")
    assert work(plain, quiet, never).metrics == {
        name: metric.value for name, metric in result.metrics.items()
    }


@pytest.mark.parametrize("end", ["stopped", "failed"])
def test_what_was_logged_before_a_run_ended_is_kept(end, job, folder):
    def report(news):
        if end == "failed" and news.get("step"):
            raise ValueError("the run ends here")

    logged = dataclasses.replace(trained(job, STAGES[:1]), logger="csv")
    assert work(logged, report, lambda: end == "stopped").status != "done"
    (path,) = (folder / "logs").rglob("metrics.csv")
    assert "train/objective" in path.read_text()


@pytest.mark.parametrize("ended", ["success", "failed"])
def test_each_case_is_a_run_of_its_own_of_weights_and_biases(ended, job, monkeypatch):
    """Lightning would log the next case of a process to a run that is still open."""
    logger = MagicMock()
    monkeypatch.setattr("hwbench.runner.loggers._logger", lambda job: logger)
    log = Log(dataclasses.replace(job, logger="wandb"))
    with contextlib.suppress(KeyError), log:
        log.reporting(quiet)({"stage": 0, "step": 1, "objective": 2.0})
        if ended == "failed":
            raise KeyError
        log.finish(MagicMock(metrics={}, steps=1))
    logger.finalize.assert_called_once_with(ended)
    logger.experiment.finish.assert_called_once_with(exit_code=int(ended == "failed"))


def test_a_logger_that_fails_does_not_fail_the_case(job, monkeypatch):
    def broken(self, metrics, step=None):
        raise OSError("no network")

    monkeypatch.setattr("pytorch_lightning.loggers.CSVLogger.log_metrics", broken)
    with pytest.warns(UserWarning, match="the logger csv stopped: no network"):
        assert work(dataclasses.replace(job, logger="csv"), quiet, never).status == "done"


def test_without_a_logger_nothing_is_written(job, folder):
    assert Log(job).reporting(quiet) is quiet
    work(job, quiet, never)
    assert not (folder / "logs").exists()


def test_a_logger_that_cannot_be_had_is_told_before_anything_runs(monkeypatch):
    check_logger("")
    check_logger("csv")
    with pytest.raises(SpecError, match="did you mean wandb"):
        check_logger("wandbb")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in LOGGERS.keys() - {"csv"}:
        with pytest.raises(UserError, match=rf"pip install 'hwbench\[{name}\]'"):
            check_logger(name)
