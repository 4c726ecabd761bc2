"""Log curves and final metrics of a run to an experiment tracker, by Lightning's loggers.

Loggers get only what a case reports anyway, so training is the same with and without them.
"""

from __future__ import annotations

import importlib.util
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwbench.runner.job import Job, Report
from hwbench.spec import SpecError, UserError, did_you_mean, flat
from hwbench.store import Result

FOLDER = Path("logs")  # for loggers that write files
LOGGERS = {  # by name: Lightning's class, and the package that it needs
    "csv": ("CSVLogger", None),
    "tensorboard": ("TensorBoardLogger", "tensorboard"),
    "wandb": ("WandbLogger", "wandb"),
    "mlflow": ("MLFlowLogger", "mlflow"),
}


def check_logger(name: str) -> None:
    """Check that a logger exists and that its package is installed; '' means no logger.

    Raises:
        UserError: the logger is unknown, or its package is missing.
    """
    if not name:
        return
    if name not in LOGGERS:
        raise SpecError(f"no logger {name!r}{did_you_mean(name, [*LOGGERS])}")
    package = LOGGERS[name][1]
    if package is not None and importlib.util.find_spec(package) is None:
        raise UserError(f"the logger {name} needs {package}: pip install 'hwbench[{name}]'")


class Log:
    """The log of one case, as a context; does nothing without a logger or once it has failed."""

    def __init__(self, job: Job) -> None:
        self.name = job.logger
        self.logger: Any = None
        if job.logger:
            self._try(lambda: setattr(self, "logger", _logger(job)))
        self._before = 0  # steps of earlier stages
        self._stage, self._step = 0, 0
        self._status = "failed"

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        if self.logger is not None:
            self._try(self._close)

    def _close(self) -> None:
        """Write what the logger still holds, however the case has ended."""
        self.logger.finalize(self._status)
        if self.name == "wandb":  # a run that is not finished would take the next case's numbers
            self.logger.experiment.finish(exit_code=int(self._status != "success"))

    def _try(self, call: Callable[[], None]) -> None:
        """Call a logger; its errors must not end the training of a case."""
        try:
            call()
        except Exception as error:
            self.logger = None
            warnings.warn(f"the logger {self.name} stopped: {error}", stacklevel=2)

    def reporting(self, report: Report) -> Report:
        """Return a report function that also logs the progress of training."""
        if self.logger is None:
            return report

        def reported(news: dict[str, Any]) -> None:
            if "step" in news:
                self._progress(news)
            report(news)

        return reported

    def _progress(self, news: dict[str, Any]) -> None:
        if news["stage"] != self._stage:
            self._before += self._step
        self._stage, self._step = news["stage"], news["step"]
        names = {"objective": "train/objective", "validation": "validation", "epoch": "epoch"}
        values = {name: float(news[key]) for key, name in names.items() if key in news}
        if self.logger is not None:
            self._try(lambda: self.logger.log_metrics(values, step=self._before + self._step))

    def finish(self, result: Result) -> None:
        """Log the final metrics."""
        values = {name: metric.value for name, metric in result.metrics.items()}
        self._status = "success"
        if self.logger is not None:
            self._try(lambda: self.logger.log_metrics(values, step=result.steps))


def _logger(job: Job) -> Any:
    """Return Lightning's logger for a case, with its blocks as hyperparameters."""
    from pytorch_lightning import loggers

    case = job.case
    name = f"{case.spec}/{case.row}"
    first = f"{case.profile}-seed{case.seed}-{case.key[:8]}"
    versions = (f"{first}-{n}" if n > 1 else first for n in itertools.count(1))
    version = next(v for v in versions if not (FOLDER / name / v).exists())
    made = getattr(loggers, LOGGERS[job.logger][0])
    if job.logger == "csv":
        logger = made(FOLDER, name=name, version=version, flush_logs_every_n_steps=1)
    elif job.logger == "tensorboard":
        logger = made(FOLDER, name=name, version=version)
    elif job.logger == "wandb":
        logger = made(project="hwbench", group=name, name=f"{name}/{version}", save_dir=FOLDER)
    else:
        logger = made(experiment_name=name, run_name=version)
    logger.log_hyperparams(flat(case.model_dump(include={"data", "model", "train", "evaluate"})))
    return logger
