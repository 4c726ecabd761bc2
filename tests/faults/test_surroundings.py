"""No setting of the surroundings decides a number without being recorded."""

import pytest
import torch

from hwbench import learner as learning
from hwbench import pipeline
from hwbench.protocols import Hooks
from hwbench.spec import Case

CPU = torch.device("cpu")
CASE = Case(
    spec="tiny/nade",
    at={"method": "NADE"},
    profile="smoke",
    seed=0,
    data={"use": "synthetic.Bars"},
    model={"use": "nade.NADE", "hidden": 4},
    train=[
        {"rule": {"use": "likelihood.MaximumLikelihood"}, "batch_size": 20, "steps": 120},
    ],
    evaluate=[{"use": "exact.ExactLogLikelihood"}],
)
LSF = {  # of an IBM cluster
    "LSB_JOBID": "1",
    "LSB_DJOB_RANKFILE": "/nowhere",
    "JSM_NAMESPACE_RANK": "1",
    "JSM_NAMESPACE_LOCAL_RANK": "1",
    "JSM_NAMESPACE_SIZE": "2",
}
SURROUNDINGS = {
    "batches": {"PL_TRAINER_LIMIT_TRAIN_BATCHES": "1"},
    "overfit": {"PL_TRAINER_OVERFIT_BATCHES": "1"},
    "fast": {"PL_TRAINER_FAST_DEV_RUN": "1"},
    "time": {"PL_TRAINER_MAX_TIME": "00:00:00:00"},
    "steps": {"PL_TRAINER_MAX_STEPS": "1"},
    "precision": {"PL_TRAINER_PRECISION": "bf16-true"},
    "accumulate": {"PL_TRAINER_ACCUMULATE_GRAD_BATCHES": "2"},
    "nodes": {"PL_TRAINER_NUM_NODES": "2"},
    "strategy": {"PL_TRAINER_STRATEGY": "ddp"},
    "lsf": LSF,
    "slurm": {
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": "1",
        "SLURM_JOB_NAME": "job",
        "SLURM_JOB_ID": "7",
    },
    "torchrun": {
        "TORCHELASTIC_RUN_ID": "1",
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "nowhere",
        "MASTER_PORT": "1",
        "GROUP_RANK": "1",
    },
}
ALL = {k: v for variables in SURROUNDINGS.values() for k, v in variables.items()}


def trained():
    built = pipeline.construct(CASE, CPU)
    progress = pipeline.train(CASE, built, None, Hooks())
    return built.model.state_dict(), progress


@pytest.fixture(scope="module")
def plain():
    return trained()[0]


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param(ALL, id="all"),
        *(pytest.param(v, id=k, marks=pytest.mark.slow) for k, v in SURROUNDINGS.items()),
    ],
)
def test_the_environment_changes_no_bit(variables, plain, monkeypatch):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    state, progress = trained()
    assert progress.steps_total == 120
    assert all(torch.equal(value, plain[key]) for key, value in state.items())


def test_a_stage_that_ends_early_is_no_stage(tmp_path, monkeypatch):
    """Whatever cuts it short: its state is neither kept as the stage's end nor lent."""
    given = learning.trainer_arguments
    monkeypatch.setattr(
        learning, "trainer_arguments", lambda device: given(device) | {"limit_train_batches": 1}
    )
    built = pipeline.construct(CASE, CPU)
    with pytest.raises(RuntimeError, match="training ended after 50 of 120 steps"):
        pipeline.train(CASE, built, tmp_path, Hooks())
    assert not list(tmp_path.rglob("*.safetensors"))
