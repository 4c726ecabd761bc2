"""Jobs made from another one, and what is handed to them."""

import dataclasses
import multiprocessing

from hwbench.runner.job import Job

PROCESSES = multiprocessing.get_context("forkserver")  # which imports torch and Lightning once
PROCESSES.set_forkserver_preload(["hwbench.runner", "hwbench.learner"])


def quiet(news):
    pass


def never():
    return False


def failing(job, **changes):
    return Job(job.case.model_copy(update=changes), job.results, job.cache, "cpu")


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
